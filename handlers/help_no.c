/*
 * HELP in Norwegian (bokmål).
 */
#include "handlers/help.h"

const struct help_language help_no = {
    .code = "no",
    .names = {"nb", "nn", "nor", "nob", "nno", "norwegian", "norsk", "bokmål",
	"nynorsk"},
    .what = "Dette er en nøkkeltjener for OpenPGP som arbeider via e-post. "
	    "Den tar vare på offentlige nøkler og sender dem til alle som "
	    "spør.",
    .ask = "Slik spør du",
    .send_to = "Send en e-post til",
    .how = "med én kommando som emne. Store og små bokstaver spiller "
	   "ingen rolle. Bare ADD og CHECK leser resten av e-posten; for "
	   "alle andre kommandoer kan den være tom.",
    .commands = "Kommandoer",
    .who = "WHO kan være",
    .address = "nøyaktig denne e-postadressen",
    .fpr = "et fingeravtrykk",
    .long_id = "en nøkkel-ID med 16 sifre",
    .short_id = "en nøkkel-ID med 8 sifre, noe som ikke er sikkert",
    .words = "hele ord, alle sammen, i hvilken som helst rekkefølge",
    .literal = "disse ordene, akkurat slik de står",
    .who_note = "Fingeravtrykk og nøkkel-ID-er blir også funnet uten 0x "
		"og med mellomrom i. Undernøkler teller også.",
    .add = "Slik legger du inn nøkkelen din",
    .add_how = "Send en e-post med emnet ADD og den offentlige nøkkelen "
	       "din i teksten eller som vedlegg. Denne kommandoen skriver "
	       "den ut:",
    .add_note = "Send aldri en hemmelig nøkkel. For å kunngjøre nye "
		"bruker-ID-er, en ny utløpsdato eller en tilbakekalling "
		"sender du nøkkelen på nytt. Det som ikke er signert av "
		"nøkkelen selv, blir ikke tatt vare på. Svaret forteller "
		"hva som ble tatt imot.",
    .limits = "Grenser",
    .reply_keys = "Nøkler i ett svar: høyst #. Passer flere, får du vite "
		  "hvor mange.",
    .last_days = "Dager som LAST ser tilbake: høyst #.",
    .last_keys = "Nøkler i et svar på LAST: høyst #.",
    .add_keys = "Nøkler som tas imot fra én ADD: de første #.",
    .no_list = "Ingen kan få listen over alle nøkler.",
    .no_owner = "Denne tjeneren vet ikke hvem som eier en nøkkel. Hvem som "
		"helst kan lage en nøkkel med et hvilket som helst navn: "
		"Kontroller fingeravtrykket med eieren.",
    .questions = "Spørsmål blir lest av et menneske på",
    .languages = "Denne teksten på et annet språk: emnet HELP og en av "
		 "kodene",
    .no_command = "E-posten din har ingen kommando i emnet.",
    .unknown = "Emnet i e-posten din begynner ikke med en kommando for "
	       "denne nøkkeltjeneren.",
    .pointer = "Send en e-post med emnet HELP for å få vite hvordan du "
	       "spør.",
    .summary =
	{
	    {"HELP", "sender denne teksten (språk: se slutten)"},
	    {"ADD", "tar imot offentlige nøkler i teksten eller vedlagt"},
	    {"CHECK", "forteller hva ADD ville ta imot fra e-posten "
		      "din, uten å lagre noe"},
	    {"GET", "sender nøklene som passer til WHO"},
	    {"INDEX", "lister opp nøklene som passer til WHO"},
	    {"VERBOSE INDEX", "det samme, med undernøkler og signaturer"},
	    {"MGET", "sender nøklene som passer til det regulære "
		     "uttrykket REGEXP, hvis administratoren tillater det"},
	    {"LAST", "sender nøklene som er endret de siste DAYS dagene"},
	    {"STATS", "oppgir antall nøkler og tjenerens tilstand"},
	},
};
