/*
 * HELP in Swedish.
 */
#include "handlers/help.h"

const struct help_language help_sv = {
    .code = "sv",
    .names = {"se", "swe", "swedish", "svenska"},
    .what = "Det här är en nyckelserver för OpenPGP som arbetar via "
	    "e-post. Den förvarar publika nycklar och skickar dem till "
	    "alla som frågar.",
    .ask = "Så frågar du",
    .send_to = "Skicka ett brev till",
    .how = "med ett enda kommando som ämne. Stora och små bokstäver "
	   "spelar ingen roll. Bara ADD och CHECK läser resten av "
	   "brevet; för alla andra kommandon får det vara tomt.",
    .commands = "Kommandon",
    .who = "WHO kan vara",
    .address = "exakt den här e-postadressen",
    .fpr = "ett fingeravtryck",
    .long_id = "ett nyckel-id med 16 siffror",
    .short_id = "ett nyckel-id med 8 siffror, vilket inte är säkert",
    .words = "hela ord, alla, i vilken ordning som helst",
    .literal = "de här orden, precis som de står",
    .who_note = "Fingeravtryck och nyckel-id:n hittas också utan 0x och "
		"med blanksteg i. Även undernycklar räknas.",
    .add = "Så lägger du in din nyckel",
    .add_how = "Skicka ett brev med ämnet ADD och din publika nyckel i "
	       "texten eller som bilaga. Det här kommandot skriver ut den:",
    .add_note = "Skicka aldrig en hemlig nyckel. Vill du tillkännage nya "
		"användar-id:n, ett nytt utgångsdatum eller ett "
		"återkallande, så skicka nyckeln en gång till. Det som "
		"inte är signerat av nyckeln själv sparas inte. Svaret "
		"talar om vad som togs emot.",
    .limits = "Gränser",
    .reply_keys = "Nycklar i ett svar: högst #. Om fler passar får du "
		  "veta hur många.",
    .last_days = "Dagar som LAST ser tillbaka: högst #.",
    .last_keys = "Nycklar i ett svar på LAST: högst #.",
    .add_keys = "Nycklar som tas emot från ett ADD: de första #.",
    .no_list = "Ingen kan få listan över alla nycklar.",
    .no_owner = "Den här servern vet inte vem som äger en nyckel. Vem som "
		"helst kan skapa en nyckel med vilket namn som helst: "
		"kontrollera fingeravtrycket med ägaren.",
    .questions = "Frågor läses av en människa på",
    .languages = "Den här texten på ett annat språk: ämnet HELP och "
		 "någon av koderna",
    .no_command = "Ditt brev har inget kommando i ämnet.",
    .unknown = "Ämnet i ditt brev börjar inte med ett kommando för den "
	       "här nyckelservern.",
    .pointer = "Skicka ett brev med ämnet HELP för att få veta hur man "
	       "frågar.",
    .summary =
	{
	    {"HELP", "skickar den här texten (språk: se slutet)"},
	    {"ADD", "tar emot publika nycklar i texten eller som bilaga"},
	    {"CHECK", "talar om vad ADD skulle ta emot ur ditt brev, "
		      "utan att spara något"},
	    {"GET", "skickar de nycklar som passar WHO"},
	    {"INDEX", "listar de nycklar som passar WHO"},
	    {"VERBOSE INDEX", "samma sak, med undernycklar och signaturer"},
	    {"MGET", "skickar de nycklar som passar det reguljära "
		     "uttrycket REGEXP, om administratören tillåter det"},
	    {"LAST", "skickar de nycklar som ändrats de senaste DAYS "
		     "dagarna"},
	    {"STATS", "anger antalet nycklar och serverns tillstånd"},
	},
};
