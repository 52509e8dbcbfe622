/*
 * HELP in Portuguese, in words that both sides of the ocean use.
 */
#include "handlers/help.h"

const struct help_language help_pt = {
    .code = "pt",
    .names = {"por", "portuguese", "português", "portugues"},
    .what = "Este é um servidor de chaves OpenPGP que funciona por e-mail. "
	    "Guarda chaves públicas e envia-as a quem as pedir.",
    .ask = "Como pedir",
    .send_to = "Envie uma mensagem para",
    .how = "com um único comando como assunto. Maiúsculas e minúsculas "
	   "não fazem diferença. Só o ADD e o CHECK leem o resto da "
	   "mensagem; para todos os outros comandos, ela pode ir vazia.",
    .commands = "Comandos",
    .who = "WHO pode ser",
    .address = "exatamente este endereço de e-mail",
    .fpr = "uma impressão digital",
    .long_id = "um ID de chave de 16 dígitos",
    .short_id = "um ID de chave de 8 dígitos, o que não é seguro",
    .words = "palavras inteiras, todas elas, em qualquer ordem",
    .literal = "estas palavras, tal como estão escritas",
    .who_note = "As impressões digitais e os IDs de chave também são "
		"encontrados sem 0x e com espaços pelo meio. As subchaves "
		"também contam.",
    .add = "Para colocar aqui a sua chave",
    .add_how = "Envie uma mensagem com o assunto ADD e a sua chave pública "
	       "no texto ou em anexo. A chave obtém-se com este comando:",
    .add_note = "Nunca envie uma chave secreta. Para dar a conhecer novos "
		"nomes ou endereços (user IDs), uma nova data de validade "
		"ou uma revogação, envie a chave novamente. O que não "
		"for assinado pela própria chave não é guardado. A "
		"resposta diz o que foi guardado.",
    .limits = "Limites",
    .reply_keys = "Chaves por resposta: no máximo #. Se houver mais, a "
		  "resposta diz quantas.",
    .last_days = "Dias que o LAST olha para trás: no máximo #.",
    .last_keys = "Chaves na resposta a um LAST: no máximo #.",
    .add_keys = "Chaves recebidas de um ADD: as primeiras #.",
    .no_list = "Ninguém pode obter a lista de todas as chaves.",
    .no_owner = "Este servidor não sabe a quem pertence uma chave. "
		"Qualquer pessoa pode criar uma chave com qualquer nome: "
		"confirme a impressão digital com o dono da chave.",
    .questions = "As perguntas são lidas por uma pessoa em",
    .languages = "Este texto em outro idioma: assunto HELP seguido de um "
		 "destes códigos",
    .no_command = "A sua mensagem não tem nenhum comando no assunto.",
    .unknown = "O assunto da sua mensagem não começa com um comando deste "
	       "servidor de chaves.",
    .pointer = "Para saber como pedir, envie uma mensagem com o assunto "
	       "HELP.",
    .summary =
	{
	    {"HELP", "envia este texto (idiomas: ver no fim)"},
	    {"ADD", "recebe as chaves públicas do texto ou dos anexos"},
	    {"CHECK", "diz o que o ADD receberia da sua mensagem, sem "
		      "guardar nada"},
	    {"GET", "envia as chaves que correspondem a WHO"},
	    {"INDEX", "lista as chaves que correspondem a WHO"},
	    {"VERBOSE INDEX", "o mesmo, com subchaves e assinaturas"},
	    {"MGET", "envia as chaves que correspondem à expressão "
		     "regular REGEXP, se o operador o permitir"},
	    {"LAST", "envia as chaves alteradas nos últimos DAYS dias"},
	    {"STATS", "informa o número de chaves e o estado do servidor"},
	},
};
