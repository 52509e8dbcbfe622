/*
 * HELP in Czech.
 */
#include "handlers/help.h"

const struct help_language help_cs = {
    .code = "cs",
    .names = {"cz", "ces", "cze", "czech", "čeština", "Čeština", "cestina",
	"česky", "Česky", "cesky"},
    .what = "Toto je server klíčů OpenPGP, který pracuje "
	    "prostřednictvím elektronické pošty. Uchovává veřejné "
	    "klíče a posílá je každému, kdo o ně požádá.",
    .ask = "Jak se ptát",
    .send_to = "Pošlete zprávu na adresu",
    .how = "s jediným příkazem v předmětu. Na velikosti písmen "
	   "nezáleží. Zbytek zprávy čtou jen ADD a CHECK; u všech "
	   "ostatních příkazů může být prázdný.",
    .commands = "Příkazy",
    .who = "WHO může být",
    .address = "přesně tato e-mailová adresa",
    .fpr = "otisk klíče",
    .long_id = "ID klíče o 16 číslicích",
    .short_id = "ID klíče o 8 číslicích, což není bezpečné",
    .words = "celá slova, všechna, v libovolném pořadí",
    .literal = "tato slova, přesně tak, jak jsou napsána",
    .who_note = "Otisky a ID klíčů se najdou i bez 0x a s mezerami "
		"uvnitř. Počítají se i podklíče.",
    .add = "Jak sem uložit svůj klíč",
    .add_how = "Pošlete zprávu s předmětem ADD a se svým veřejným "
	       "klíčem v textu nebo v příloze. Klíč vypíše tento "
	       "příkaz:",
    .add_note = "Nikdy neposílejte tajný klíč. Chcete-li oznámit nová "
		"ID uživatele, nové datum konce platnosti nebo odvolání "
		"klíče, pošlete klíč znovu. Co není podepsáno "
		"samotným klíčem, to se neuchovává. Z odpovědi se "
		"dozvíte, co bylo přijato.",
    .limits = "Omezení",
    .reply_keys = "Klíče v jedné odpovědi: nejvýše #. Vyhovuje-li "
		  "jich víc, dozvíte se kolik.",
    .last_days = "Dny, o které se LAST vrací: nejvýše #.",
    .last_keys = "Klíče v odpovědi na LAST: nejvýše #.",
    .add_keys = "Klíče přijaté z jednoho ADD: prvních #.",
    .no_list = "Seznam všech klíčů nemůže dostat nikdo.",
    .no_owner = "Tento server neví, komu klíč patří. Kdokoli může "
		"vytvořit klíč s jakýmkoli jménem: ověřte si otisk u "
		"majitele klíče.",
    .questions = "Dotazy čte člověk na adrese",
    .languages = "Tento text v jiném jazyce: předmět HELP a jeden z "
		 "těchto kódů",
    .no_command = "Vaše zpráva nemá v předmětu žádný příkaz.",
    .unknown = "Předmět vaší zprávy nezačíná příkazem tohoto "
	       "serveru klíčů.",
    .pointer = "Jak se ptát, se dozvíte, když pošlete zprávu s "
	       "předmětem HELP.",
    .summary =
	{
	    {"HELP", "pošle tento text (jazyky: viz konec)"},
	    {"ADD", "přijme veřejné klíče z textu nebo přílohy"},
	    {"CHECK", "řekne, co by ADD z vaší zprávy přijal, a "
		      "nic neuloží"},
	    {"GET", "pošle klíče, které odpovídají WHO"},
	    {"INDEX", "vypíše klíče, které odpovídají WHO"},
	    {"VERBOSE INDEX", "totéž s podklíči a podpisy"},
	    {"MGET", "pošle klíče, které odpovídají regulárnímu "
		     "výrazu REGEXP, pokud to provozovatel dovoluje"},
	    {"LAST", "pošle klíče změněné za posledních DAYS dní"},
	    {"STATS", "sdělí počet klíčů a stav serveru"},
	},
};
