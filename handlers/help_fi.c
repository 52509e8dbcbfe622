/*
 * HELP in Finnish.
 */
#include "handlers/help.h"

const struct help_language help_fi = {
    .code = "fi",
    .names = {"fin", "finnish", "suomi", "suomeksi"},
    .what = "Tämä on sähköpostilla toimiva OpenPGP-avainpalvelin. Se "
	    "säilyttää julkisia avaimia ja lähettää ne jokaiselle, "
	    "joka niitä pyytää.",
    .ask = "Näin kysyt",
    .send_to = "Lähetä viesti osoitteeseen",
    .how = "ja kirjoita sen aiheeksi yksi komento. Isoilla ja pienillä "
	   "kirjaimilla ei ole eroa. Vain ADD ja CHECK lukevat viestin "
	   "muun sisällön; kaikilla muilla komennoilla viesti voi olla "
	   "tyhjä.",
    .commands = "Komennot",
    .who = "WHO voi olla",
    .address = "täsmälleen tämä sähköpostiosoite",
    .fpr = "sormenjälki",
    .long_id = "16-merkkinen avaintunniste",
    .short_id = "8-merkkinen avaintunniste, joka ei ole turvallinen",
    .words = "kokonaiset sanat, kaikki, missä järjestyksessä tahansa",
    .literal = "nämä sanat juuri niin kuin ne on kirjoitettu",
    .who_note = "Sormenjäljet ja avaintunnisteet löytyvät myös ilman "
		"0x-etuliitettä ja silloin, kun niissä on "
		"välilyöntejä. Myös aliavaimet otetaan huomioon.",
    .add = "Näin tallennat avaimesi tänne",
    .add_how = "Lähetä viesti, jonka aihe on ADD ja jonka tekstissä tai "
	       "liitteenä on julkinen avaimesi. Tämä komento tulostaa "
	       "sen:",
    .add_note = "Älä koskaan lähetä salaista avainta. Kun haluat "
		"ilmoittaa uusista käyttäjätunnisteista, uudesta "
		"vanhenemispäivästä tai avaimen mitätöinnistä, "
		"lähetä avain uudelleen. Mitä avain itse ei ole "
		"allekirjoittanut, sitä ei säilytetä. Vastaus kertoo, "
		"mitä otettiin vastaan.",
    .limits = "Rajoitukset",
    .reply_keys = "Avaimia yhdessä vastauksessa: enintään #. Jos sopivia "
		  "on enemmän, niiden määrä kerrotaan.",
    .last_days = "Montako päivää LAST katsoo taaksepäin: enintään #.",
    .last_keys = "Avaimia vastauksessa LAST-komentoon: enintään #.",
    .add_keys = "Avaimia, jotka otetaan vastaan yhdestä ADD-viestistä: # "
		"ensimmäistä.",
    .no_list = "Kukaan ei voi saada luetteloa kaikista avaimista.",
    .no_owner = "Tämä palvelin ei tiedä, kuka avaimen omistaa. Kuka "
		"tahansa voi luoda avaimen millä nimellä tahansa: "
		"tarkista sormenjälki avaimen omistajalta.",
    .questions = "Kysymykset lukee ihminen osoitteessa",
    .languages = "Tämä teksti muulla kielellä: aiheeksi HELP ja jokin "
		 "seuraavista",
    .no_command = "Viestisi aiheessa ei ole komentoa.",
    .unknown = "Viestisi aihe ei ala tämän avainpalvelimen komennolla.",
    .pointer = "Ohjeet saat lähettämällä viestin, jonka aihe on HELP.",
    .summary =
	{
	    {"HELP", "lähettää tämän tekstin (kielet: ks. loppu)"},
	    {"ADD", "ottaa vastaan tekstissä tai liitteenä olevat "
		    "julkiset avaimet"},
	    {"CHECK", "kertoo, mitä ADD ottaisi vastaan viestistäsi, "
		      "mutta ei tallenna mitään"},
	    {"GET", "lähettää avaimet, joihin WHO sopii"},
	    {"INDEX", "luettelee avaimet, joihin WHO sopii"},
	    {"VERBOSE INDEX", "samoin, myös aliavaimet ja allekirjoitukset"},
	    {"MGET", "lähettää avaimet, joihin säännöllinen lauseke "
		     "REGEXP sopii, jos ylläpitäjä sallii sen"},
	    {"LAST", "lähettää avaimet, jotka ovat muuttuneet "
		     "viimeisten DAYS päivän aikana"},
	    {"STATS", "kertoo avainten määrän ja palvelimen tilan"},
	},
};
