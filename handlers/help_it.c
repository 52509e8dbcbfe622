/*
 * HELP in Italian.
 */
#include "handlers/help.h"

const struct help_language help_it = {
    .code = "it",
    .names = {"ita", "italian", "italiano"},
    .what = "Questo è un server di chiavi OpenPGP che funziona per posta "
	    "elettronica. Conserva chiavi pubbliche e le invia a chiunque "
	    "le chieda.",
    .ask = "Come chiedere",
    .send_to = "Inviare un messaggio a",
    .how = "con un solo comando come oggetto. Non si distingue tra "
	   "maiuscole e minuscole. Solo ADD e CHECK leggono il resto del "
	   "messaggio; per tutti gli altri comandi può essere vuoto.",
    .commands = "Comandi",
    .who = "WHO può essere",
    .address = "esattamente questo indirizzo di posta",
    .fpr = "un'impronta digitale",
    .long_id = "un ID di chiave di 16 cifre",
    .short_id = "un ID di chiave di 8 cifre, che non è sicuro",
    .words = "parole intere, tutte, in qualsiasi ordine",
    .literal = "queste parole, esattamente come sono scritte",
    .who_note = "Le impronte e gli ID di chiave si trovano anche senza 0x e "
		"con spazi all'interno. Contano anche le sottochiavi.",
    .add = "Per depositare qui la propria chiave",
    .add_how = "Inviare un messaggio con oggetto ADD e la propria chiave "
	       "pubblica nel testo o in allegato. La chiave si ottiene con "
	       "questo comando:",
    .add_note = "Non inviare mai una chiave segreta. Per annunciare nuovi "
		"ID utente, una nuova data di scadenza o una revoca, "
		"inviare di nuovo la chiave. Ciò che non è firmato dalla "
		"chiave stessa non viene conservato. La risposta dice che "
		"cosa è stato accettato.",
    .limits = "Limiti",
    .reply_keys = "Chiavi per risposta: al massimo #. Se sono di più, la "
		  "risposta dice quante.",
    .last_days = "Giorni che LAST guarda indietro: al massimo #.",
    .last_keys = "Chiavi nella risposta a LAST: al massimo #.",
    .add_keys = "Chiavi accettate da un ADD: le prime #.",
    .no_list = "Nessuno può avere l'elenco di tutte le chiavi.",
    .no_owner = "Questo server non sa a chi appartiene una chiave. Chiunque "
		"può creare una chiave con qualsiasi nome: verificarne "
		"l'impronta con il proprietario.",
    .questions = "Le domande vengono lette da una persona all'indirizzo",
    .languages = "Questo testo in un'altra lingua: oggetto HELP e uno di "
		 "questi codici",
    .no_command = "L'oggetto del messaggio non contiene alcun comando.",
    .unknown = "L'oggetto del messaggio non comincia con un comando di "
	       "questo server di chiavi.",
    .pointer = "Per sapere come chiedere, inviare un messaggio con oggetto "
	       "HELP.",
    .summary =
	{
	    {"HELP", "invia questo testo (lingue: vedere alla fine)"},
	    {"ADD", "accetta le chiavi pubbliche nel testo o in allegato"},
	    {"CHECK", "dice che cosa ADD accetterebbe del messaggio, "
		      "senza conservare nulla"},
	    {"GET", "invia le chiavi che corrispondono a WHO"},
	    {"INDEX", "elenca le chiavi che corrispondono a WHO"},
	    {"VERBOSE INDEX", "lo stesso, con sottochiavi e firme"},
	    {"MGET", "invia le chiavi che corrispondono all'espressione "
		     "regolare REGEXP, se il gestore lo consente"},
	    {"LAST", "invia le chiavi cambiate negli ultimi DAYS giorni"},
	    {"STATS", "indica il numero di chiavi e lo stato del server"},
	},
};
