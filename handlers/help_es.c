/*
 * HELP in Spanish.
 */
#include "handlers/help.h"

const struct help_language help_es = {
    .code = "es",
    .names = {"spa", "spanish", "español", "espanol", "castellano"},
    .what = "Este es un servidor de claves OpenPGP que funciona por correo "
	    "electrónico. Guarda claves públicas y las envía a quien las "
	    "pida.",
    .ask = "Cómo preguntar",
    .send_to = "Envíe un mensaje a",
    .how = "con una sola orden como asunto. No se distingue entre "
	   "mayúsculas y minúsculas. Solo ADD y CHECK leen el resto del "
	   "mensaje; con las demás órdenes puede ir vacío.",
    .commands = "Órdenes",
    .who = "WHO puede ser",
    .address = "exactamente esta dirección de correo",
    .fpr = "una huella digital",
    .long_id = "un ID de clave de 16 cifras",
    .short_id = "un ID de clave de 8 cifras, lo cual no es seguro",
    .words = "palabras enteras, todas ellas, en cualquier orden",
    .literal = "estas palabras, tal como están escritas",
    .who_note = "Las huellas digitales y los ID de clave se encuentran "
		"también sin 0x y con espacios intercalados. Las subclaves "
		"también cuentan.",
    .add = "Para depositar aquí su clave",
    .add_how = "Envíe un mensaje con el asunto ADD y su clave pública en "
	       "el texto o como archivo adjunto. La clave se obtiene con "
	       "esta orden:",
    .add_note = "No envíe nunca una clave secreta. Para dar a conocer "
		"nuevos ID de usuario, una nueva fecha de caducidad o una "
		"revocación, vuelva a enviar la clave. Lo que no está "
		"firmado por la propia clave no se conserva. La respuesta "
		"indica qué se ha aceptado.",
    .limits = "Límites",
    .reply_keys = "Claves por respuesta: # como máximo. Si coinciden más, "
		  "se le dirá cuántas.",
    .last_days = "Días que LAST mira hacia atrás: # como máximo.",
    .last_keys = "Claves en una respuesta a LAST: # como máximo.",
    .add_keys = "Claves que se aceptan de un ADD: las primeras #.",
    .no_list = "Nadie puede obtener la lista de todas las claves.",
    .no_owner = "Este servidor no sabe a quién pertenece una clave. "
		"Cualquiera puede crear una clave con cualquier nombre: "
		"confirme la huella digital con el propietario.",
    .questions = "Una persona lee las preguntas que se envíen a",
    .languages = "Este texto en otro idioma: asunto HELP seguido de uno de "
		 "estos códigos",
    .no_command = "Su mensaje no lleva ninguna orden en el asunto.",
    .unknown = "El asunto de su mensaje no empieza por una orden de este "
	       "servidor de claves.",
    .pointer = "Para saber cómo preguntar, envíe un mensaje con el asunto "
	       "HELP.",
    .summary =
	{
	    {"HELP", "envía este texto (idiomas: véase al final)"},
	    {"ADD", "acepta las claves públicas del texto o adjuntas"},
	    {"CHECK", "dice qué aceptaría ADD de su mensaje, sin "
		      "guardar nada"},
	    {"GET", "envía las claves que coinciden con WHO"},
	    {"INDEX", "da la lista de las claves que coinciden con WHO"},
	    {"VERBOSE INDEX", "lo mismo, con subclaves y firmas"},
	    {"MGET", "envía las claves que coinciden con la expresión "
		     "regular REGEXP, si el operador lo permite"},
	    {"LAST", "envía las claves que cambiaron en los últimos DAYS "
		     "días"},
	    {"STATS", "indica el número de claves y el estado del servidor"},
	},
};
