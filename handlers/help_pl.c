/*
 * HELP in Polish.
 */
#include "handlers/help.h"

const struct help_language help_pl = {
    .code = "pl",
    .names = {"pol", "polish", "polski", "po polsku"},
    .what = "To jest serwer kluczy OpenPGP działający przez pocztę "
	    "elektroniczną. Przechowuje klucze publiczne i wysyła je "
	    "każdemu, kto o nie poprosi.",
    .ask = "Jak pytać",
    .send_to = "Wyślij list na adres",
    .how = "z jednym poleceniem jako tematem. Wielkość liter nie ma "
	   "znaczenia. Tylko ADD i CHECK czytają treść listu; przy "
	   "wszystkich innych poleceniach może ona być pusta.",
    .commands = "Polecenia",
    .who = "WHO może oznaczać",
    .address = "dokładnie ten adres e-mail",
    .fpr = "odcisk klucza",
    .long_id = "16-cyfrowy identyfikator klucza",
    .short_id = "8-cyfrowy identyfikator klucza, który nie jest bezpieczny",
    .words = "całe słowa, wszystkie, w dowolnej kolejności",
    .literal = "te słowa, dokładnie tak jak je zapisano",
    .who_note = "Odciski i identyfikatory kluczy można podawać także bez "
		"0x i ze spacjami w środku. Podklucze też są "
		"przeszukiwane.",
    .add = "Jak umieścić tu swój klucz",
    .add_how = "Wyślij list z tematem ADD i swoim kluczem publicznym w "
	       "treści lub w załączniku. Klucz wypisuje to polecenie:",
    .add_note = "Nigdy nie wysyłaj klucza tajnego. Aby ogłosić nowe "
		"identyfikatory użytkownika, nową datę ważności lub "
		"unieważnienie, wyślij klucz jeszcze raz. To, czego nie "
		"podpisano samym kluczem, nie jest przechowywane. Z "
		"odpowiedzi dowiesz się, co zostało przyjęte.",
    .limits = "Ograniczenia",
    .reply_keys = "Klucze w jednej odpowiedzi: najwyżej #. Jeśli pasuje "
		  "więcej, dowiesz się ile.",
    .last_days = "Dni, o które cofa się LAST: najwyżej #.",
    .last_keys = "Klucze w odpowiedzi na LAST: najwyżej #.",
    .add_keys = "Klucze przyjmowane z jednego ADD: # pierwszych.",
    .no_list = "Nikt nie może otrzymać listy wszystkich kluczy.",
    .no_owner = "Ten serwer nie wie, do kogo należy klucz. Każdy może "
		"utworzyć klucz z dowolnym nazwiskiem: potwierdź odcisk u "
		"właściciela klucza.",
    .questions = "Pytania czyta człowiek pod adresem",
    .languages = "Ten tekst w innym języku: temat HELP i jeden z tych "
		 "kodów",
    .no_command = "W temacie Twojego listu nie ma żadnego polecenia.",
    .unknown = "Temat Twojego listu nie zaczyna się od polecenia tego "
	       "serwera kluczy.",
    .pointer = "Aby dowiedzieć się, jak pytać, wyślij list z tematem "
	       "HELP.",
    .summary =
	{
	    {"HELP", "wysyła ten tekst (języki: patrz na końcu)"},
	    {"ADD", "przyjmuje klucze publiczne z treści lub załącznika"},
	    {"CHECK", "mówi, co ADD przyjęłoby z Twojego listu, i "
		      "niczego nie zapisuje"},
	    {"GET", "wysyła klucze pasujące do WHO"},
	    {"INDEX", "podaje listę kluczy pasujących do WHO"},
	    {"VERBOSE INDEX", "to samo, z podkluczami i podpisami"},
	    {"MGET", "wysyła klucze pasujące do wyrażenia regularnego "
		     "REGEXP, jeśli operator na to pozwala"},
	    {"LAST", "wysyła klucze zmienione w ciągu ostatnich DAYS dni"},
	    {"STATS", "podaje liczbę kluczy i stan serwera"},
	},
};
