/*
 * HELP in French.
 */
#include "handlers/help.h"

const struct help_language help_fr = {
    .code = "fr",
    .names = {"fra", "fre", "french", "français", "francais"},
    .what = "Ceci est un serveur de clés OpenPGP qui fonctionne par "
	    "courrier électronique. Il conserve des clés publiques et les "
	    "envoie à quiconque les demande.",
    .ask = "Comment demander",
    .send_to = "Envoyez un message à",
    .how = "avec une seule commande comme objet. Majuscules et minuscules "
	   "ne sont pas distinguées. Seules ADD et CHECK lisent le reste "
	   "du message\u00A0; pour toutes les autres commandes, il peut être "
	   "vide.",
    .commands = "Commandes",
    .who = "WHO peut être",
    .address = "exactement cette adresse électronique",
    .fpr = "une empreinte",
    .long_id = "un identifiant de clé à 16 chiffres",
    .short_id = "un identifiant de clé à 8 chiffres, ce qui n'est pas sûr",
    .words = "des mots entiers, tous, dans n'importe quel ordre",
    .literal = "ces mots, exactement tels qu'ils sont écrits",
    .who_note = "Les empreintes et les identifiants de clé sont trouvés "
		"aussi sans 0x, et même s'ils contiennent des espaces. Les "
		"sous-clés comptent également.",
    .add = "Pour déposer votre clé ici",
    .add_how = "Envoyez un message ayant pour objet ADD, avec votre clé "
	       "publique dans le corps ou en pièce jointe. Cette ligne de "
	       "commande la produit\u00A0:",
    .add_note = "N'envoyez jamais de clé secrète. Pour faire connaître "
		"de nouvelles identités, une nouvelle date d'expiration ou "
		"une révocation, envoyez la clé de nouveau. Ce qui n'est "
		"pas signé par la clé elle-même n'est pas conservé. La "
		"réponse dit ce qui a été accepté.",
    .limits = "Limites",
    .reply_keys = "Clés par réponse\u00A0: # au plus. S'il y en a "
		  "davantage, on vous dit combien.",
    .last_days = "Jours sur lesquels LAST remonte\u00A0: # au plus.",
    .last_keys = "Clés dans une réponse à LAST\u00A0: # au plus.",
    .add_keys = "Clés acceptées d'un même ADD\u00A0: les # premières.",
    .no_list = "Personne ne peut obtenir la liste de toutes les clés.",
    .no_owner = "Ce serveur ne sait pas à qui appartient une clé. "
		"N'importe qui peut créer une clé à n'importe quel "
		"nom\u00A0: vérifiez l'empreinte auprès du propriétaire.",
    .questions = "Les questions sont lues par une personne à l'adresse",
    .languages = "Ce texte dans une autre langue\u00A0: objet HELP suivi de "
		 "l'un de ces codes",
    .no_command = "L'objet de votre message ne contient aucune commande.",
    .unknown = "L'objet de votre message ne commence pas par une commande "
	       "de ce serveur de clés.",
    .pointer = "Pour savoir comment demander, envoyez un message ayant pour "
	       "objet HELP.",
    .summary =
	{
	    {"HELP", "envoie ce texte (langues\u00A0: voir à la fin)"},
	    {"ADD", "prend les clés publiques du texte ou en pièce jointe"},
	    {"CHECK", "dit ce que ADD accepterait de votre message, "
		      "sans rien enregistrer"},
	    {"GET", "envoie les clés qui correspondent à WHO"},
	    {"INDEX", "donne la liste des clés qui correspondent à WHO"},
	    {"VERBOSE INDEX", "de même, avec les sous-clés et les "
			      "signatures"},
	    {"MGET", "envoie les clés qui correspondent à l'expression "
		     "rationnelle REGEXP, si l'exploitant le permet"},
	    {"LAST", "envoie les clés modifiées ces DAYS derniers jours"},
	    {"STATS", "indique le nombre de clés et l'état du serveur"},
	},
};
