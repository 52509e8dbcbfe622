/*
 * HELP in Croatian.
 */
#include "handlers/help.h"

const struct help_language help_hr = {
    .code = "hr",
    .names = {"hrv", "croatian", "hrvatski"},
    .what = "Ovo je poslužitelj ključeva OpenPGP koji radi putem "
	    "elektroničke pošte. Čuva javne ključeve i šalje ih "
	    "svakome tko ih zatraži.",
    .ask = "Kako pitati",
    .send_to = "Pošaljite poruku na adresu",
    .how = "s jednom naredbom kao predmetom. Velika i mala slova se ne "
	   "razlikuju. Samo ADD i CHECK čitaju ostatak poruke; za sve "
	   "ostale naredbe poruka može biti prazna.",
    .commands = "Naredbe",
    .who = "WHO može biti",
    .address = "točno ova adresa e-pošte",
    .fpr = "otisak ključa",
    .long_id = "ID ključa od 16 znamenki",
    .short_id = "ID ključa od 8 znamenki, što nije sigurno",
    .words = "cijele riječi, sve, bilo kojim redoslijedom",
    .literal = "ove riječi, točno onako kako su napisane",
    .who_note = "Otisci i ID-ovi ključeva pronalaze se i bez 0x i s "
		"razmacima u sredini. Traže se i potključevi.",
    .add = "Kako ovdje pohraniti svoj ključ",
    .add_how = "Pošaljite poruku s predmetom ADD i svojim javnim ključem "
	       "u tekstu ili u privitku. Ključ ispisuje ova naredba:",
    .add_note = "Nikada ne šaljite tajni ključ. Da biste objavili nove "
		"korisničke ID-ove, novi datum isteka ili opoziv, "
		"pošaljite ključ ponovno. Ono što nije potpisano samim "
		"ključem ne čuva se. U odgovoru piše što je prihvaćeno.",
    .limits = "Ograničenja",
    .reply_keys = "Ključevi u jednom odgovoru: najviše #. Ako ih odgovara "
		  "više, saznat ćete koliko.",
    .last_days = "Dani koje LAST obuhvaća: najviše #.",
    .last_keys = "Ključevi u odgovoru na LAST: najviše #.",
    .add_keys = "Ključevi koji se prihvaćaju iz jednog ADD: prvih #.",
    .no_list = "Nitko ne može dobiti popis svih ključeva.",
    .no_owner = "Ovaj poslužitelj ne zna čiji je koji ključ. Svatko "
		"može izraditi ključ s bilo kojim imenom: provjerite "
		"otisak kod vlasnika ključa.",
    .questions = "Pitanja čita čovjek na adresi",
    .languages = "Ovaj tekst na drugom jeziku: predmet HELP i jedna od ovih "
		 "oznaka",
    .no_command = "U predmetu vaše poruke nema naredbe.",
    .unknown = "Predmet vaše poruke ne počinje naredbom ovog "
	       "poslužitelja ključeva.",
    .pointer = "Da biste saznali kako pitati, pošaljite poruku s predmetom "
	       "HELP.",
    .summary =
	{
	    {"HELP", "šalje ovaj tekst (jezici: vidi kraj)"},
	    {"ADD", "prihvaća javne ključeve iz teksta ili privitka"},
	    {"CHECK", "kaže što bi ADD prihvatio iz vaše poruke, a "
		      "ništa ne pohranjuje"},
	    {"GET", "šalje ključeve koji odgovaraju izrazu WHO"},
	    {"INDEX", "navodi ključeve koji odgovaraju izrazu WHO"},
	    {"VERBOSE INDEX", "isto, s potključevima i potpisima"},
	    {"MGET", "šalje ključeve koji odgovaraju regularnom izrazu "
		     "REGEXP, ako to operater dopušta"},
	    {"LAST", "šalje ključeve promijenjene u posljednjih DAYS dana"},
	    {"STATS", "navodi broj ključeva i stanje poslužitelja"},
	},
};
