/*
 * HELP in Danish.
 */
#include "handlers/help.h"

const struct help_language help_da = {
    .code = "da",
    .names = {"dk", "dan", "danish", "dansk"},
    .what = "Dette er en nøgleserver til OpenPGP, som arbejder via e-mail. "
	    "Den opbevarer offentlige nøgler og sender dem til enhver, der "
	    "spørger.",
    .ask = "Sådan spørger du",
    .send_to = "Send en e-mail til",
    .how = "med en enkelt kommando som emne. Store og små bogstaver er "
	   "uden betydning. Kun ADD og CHECK læser resten af e-mailen; "
	   "ved alle andre kommandoer må den være tom.",
    .commands = "Kommandoer",
    .who = "WHO kan være",
    .address = "præcis denne e-mailadresse",
    .fpr = "et fingeraftryk",
    .long_id = "et nøgle-id på 16 cifre",
    .short_id = "et nøgle-id på 8 cifre, hvilket ikke er sikkert",
    .words = "hele ord, alle sammen, i vilkårlig rækkefølge",
    .literal = "disse ord, nøjagtig som de står",
    .who_note = "Fingeraftryk og nøgle-id'er findes også uden 0x og med "
		"mellemrum i. Undernøgler tæller også med.",
    .add = "Sådan lægger du din nøgle ind",
    .add_how = "Send en e-mail med emnet ADD og din offentlige nøgle i "
	       "teksten eller vedhæftet. Denne kommando udskriver den:",
    .add_note = "Send aldrig en hemmelig nøgle. Vil du bekendtgøre nye "
		"bruger-id'er, en ny udløbsdato eller en tilbagekaldelse, "
		"så send nøglen igen. Det, som nøglen ikke selv har "
		"underskrevet, bliver ikke gemt. Svaret fortæller, hvad "
		"der blev taget imod.",
    .limits = "Grænser",
    .reply_keys = "Nøgler i ét svar: højst #. Passer der flere, får du "
		  "at vide hvor mange.",
    .last_days = "Dage, som LAST ser tilbage: højst #.",
    .last_keys = "Nøgler i et svar på LAST: højst #.",
    .add_keys = "Nøgler, der tages imod fra én ADD: de første #.",
    .no_list = "Ingen kan få listen over alle nøgler.",
    .no_owner = "Denne server ved ikke, hvem der ejer en nøgle. Enhver kan "
		"lave en nøgle med et hvilket som helst navn: kontrollér "
		"fingeraftrykket med ejeren.",
    .questions = "Spørgsmål læses af et menneske på",
    .languages = "Denne tekst på et andet sprog: emnet HELP og en af "
		 "koderne",
    .no_command = "Din e-mail har ingen kommando i emnet.",
    .unknown = "Emnet i din e-mail begynder ikke med en kommando til denne "
	       "nøgleserver.",
    .pointer = "Send en e-mail med emnet HELP for at få at vide, hvordan "
	       "man spørger.",
    .summary =
	{
	    {"HELP", "sender denne tekst (sprog: se slutningen)"},
	    {"ADD", "tager imod offentlige nøgler i teksten eller "
		    "vedhæftet"},
	    {"CHECK", "fortæller, hvad ADD ville tage imod fra din "
		      "e-mail, uden at gemme noget"},
	    {"GET", "sender de nøgler, der passer til WHO"},
	    {"INDEX", "opregner de nøgler, der passer til WHO"},
	    {"VERBOSE INDEX", "det samme, med undernøgler og underskrifter"},
	    {"MGET", "sender de nøgler, der passer til det regulære "
		     "udtryk REGEXP, hvis administratoren tillader det"},
	    {"LAST", "sender de nøgler, der er ændret i de seneste DAYS "
		     "dage"},
	    {"STATS", "oplyser antallet af nøgler og serverens tilstand"},
	},
};
