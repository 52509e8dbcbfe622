/*
 * HELP in German.
 */
#include "handlers/help.h"

const struct help_language help_de = {
    .code = "de",
    .names = {"deu", "ger", "german", "deutsch"},
    .what = "Dies ist ein OpenPGP-Schlüsselserver, der per E-Mail "
	    "arbeitet. Er bewahrt öffentliche Schlüssel auf und schickt "
	    "sie jedem, der danach fragt.",
    .ask = "So fragen Sie",
    .send_to = "Schicken Sie eine Mail an",
    .how = "mit einem einzigen Befehl als Betreff. Groß- und "
	   "Kleinschreibung spielt keine Rolle. Nur ADD und CHECK "
	   "beachten den übrigen Inhalt der Mail; bei allen anderen "
	   "Befehlen darf sie leer sein.",
    .commands = "Befehle",
    .who = "WHO kann sein",
    .address = "genau diese Mailadresse",
    .fpr = "ein Fingerabdruck",
    .long_id = "eine Schlüssel-ID mit 16 Stellen",
    .short_id = "eine Schlüssel-ID mit 8 Stellen, die nicht sicher ist",
    .words = "ganze Wörter, und zwar alle, in beliebiger Reihenfolge",
    .literal = "diese Wörter, genau so, wie sie dastehen",
    .who_note = "Fingerabdrücke und Schlüssel-IDs werden auch ohne 0x und "
		"mit Leerzeichen darin gefunden. Unterschlüssel zählen "
		"ebenfalls.",
    .add = "So kommt Ihr Schlüssel hierher",
    .add_how = "Schicken Sie eine Mail mit dem Betreff ADD und Ihrem "
	       "öffentlichen Schlüssel im Text oder als Anhang. Diese "
	       "Befehlszeile gibt ihn aus:",
    .add_note = "Schicken Sie niemals einen geheimen Schlüssel. Um neue "
		"User-IDs, ein neues Ablaufdatum oder einen Widerruf "
		"bekannt zu machen, schicken Sie den Schlüssel noch "
		"einmal. Was der Schlüssel nicht selbst unterschrieben "
		"hat, wird nicht aufbewahrt. Die Antwort sagt, was "
		"übernommen wurde.",
    .limits = "Grenzen",
    .reply_keys = "Schlüssel in einer Antwort: höchstens #. Bei mehr "
		  "erfahren Sie die Zahl.",
    .last_days = "Tage, die LAST zurückblickt: höchstens #.",
    .last_keys = "Schlüssel in einer Antwort auf LAST: höchstens #.",
    .add_keys = "Schlüssel, die aus einem ADD übernommen werden: die "
		"ersten #.",
    .no_list = "Eine Liste aller Schlüssel bekommt niemand.",
    .no_owner = "Dieser Server weiß nicht, wem ein Schlüssel gehört. "
		"Jeder kann einen Schlüssel mit jedem beliebigen Namen "
		"erzeugen: Lassen Sie sich den Fingerabdruck vom Inhaber "
		"bestätigen.",
    .questions = "Fragen liest ein Mensch unter",
    .languages = "Dieser Text in einer anderen Sprache: Betreff HELP und "
		 "eines von",
    .no_command = "Ihre Mail hat keinen Befehl im Betreff.",
    .unknown = "Der Betreff Ihrer Mail beginnt nicht mit einem Befehl "
	       "dieses Schlüsselservers.",
    .pointer = "Wie man fragt, erfahren Sie mit einer Mail mit dem Betreff "
	       "HELP.",
    .summary =
	{
	    {"HELP", "schickt diesen Text (Sprachen: siehe Ende)"},
	    {"ADD", "nimmt öffentliche Schlüssel im Text oder Anhang an"},
	    {"CHECK", "sagt, was ADD aus Ihrer Mail übernehmen "
		      "würde, ohne etwas zu speichern"},
	    {"GET", "schickt die Schlüssel, auf die WHO passt"},
	    {"INDEX", "listet die Schlüssel auf, auf die WHO passt"},
	    {"VERBOSE INDEX", "dasselbe mit Unterschlüsseln und "
			      "Unterschriften"},
	    {"MGET", "schickt die Schlüssel, auf die der reguläre "
		     "Ausdruck REGEXP passt, sofern der Betreiber es "
		     "erlaubt"},
	    {"LAST", "schickt die Schlüssel, die sich in den letzten DAYS "
		     "Tagen geändert haben"},
	    {"STATS", "nennt die Zahl der Schlüssel und den Stand des "
		      "Servers"},
	},
};
