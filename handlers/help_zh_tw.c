/*
 * HELP in Chinese, in traditional characters.
 */
#include "handlers/help.h"

const struct help_language help_zh_tw = {
    .code = "zh-tw",
    .names = {"tw", "hk", "zh-hant", "zh-hk", "zh-mo", "traditional chinese",
	"chinese traditional", "繁體中文", "正體中文", "繁體"},
    .what = "這是以電子郵件運作的 OpenPGP "
	    "金鑰伺服器，保管公開金鑰，\n"
	    "並寄給任何索取的人。",
    .ask = "使用方法",
    .send_to = "請寄信到",
    .how = "並在主旨寫上一個指令。指令不分大小"
	   "寫。只有 ADD 和 CHECK 會讀取\n"
	   "郵件的其他內容；使用其他指令時，"
	   "內文可以留空。",
    .commands = "指令",
    .who = "WHO 可以是",
    .address = "與此完全相同的電子郵件地址",
    .fpr = "指紋",
    .long_id = "16 位數的金鑰 ID",
    .short_id = "8 位數的金鑰 ID（並不安全）",
    .words = "完整的字詞，必須全部符合，順序不拘",
    .literal = "與此完全相同的字句",
    .who_note = "指紋與金鑰 ID 不加 0x，或中間含有空"
		"格，也都找得到。子金鑰也在搜尋之列。",
    .add = "如何把金鑰放到這裡",
    .add_how = "請寄一封主旨為 ADD 的郵件，並將"
	       "您的公開金鑰放在內文或附件中。\n"
	       "下列命令可輸出公開金鑰：",
    .add_note = "千萬不要寄出私密金鑰。若要公布新的"
		"使用者 ID、新的到期日或撤銷聲明，\n"
		"請再寄一次該金鑰。未經金鑰"
		"本身簽署的內容不會保存。\n"
		"回信會說明收下了哪些內容。",
    .limits = "限制",
    .reply_keys = "每次回覆的金鑰：最多 # 把。若"
		  "符合的更多，會告訴您有幾把。",
    .last_days = "LAST 可回溯的天數：最多 # 天。",
    .last_keys = "回覆 LAST 的金鑰：最多 # 把。",
    .add_keys = "每次 ADD 收下的金鑰：前 # 把。",
    .no_list = "任何人都無法取得所有金鑰的清單。",
    .no_owner = "本伺服器不知道金鑰屬於誰。任"
		"何人都能用任何名字製作金鑰，\n"
		"請務必向持有人核對指紋。",
    .questions = "如有問題，請寫信到下列"
		 "地址，會有專人閱讀：",
    .languages = "其他語言的說明：請在主旨寫"
		 "上 HELP 與下列其中一個代碼。",
    .no_command = "您的郵件主旨中沒有指令。",
    .unknown = "您的郵件主旨不是以本金"
	       "鑰伺服器的指令開頭。",
    .pointer = "想知道使用方法，請寄一"
	       "封主旨為 HELP 的郵件。",
    .summary =
	{
	    {"HELP", "寄送本說明（語言代碼見文末）"},
	    {"ADD", "收下內文或附件中的公開金鑰"},
	    {"CHECK", "告知 ADD 會收下哪些內容，"
		      "但不保存任何內容"},
	    {"GET", "寄送符合 WHO 的金鑰"},
	    {"INDEX", "列出符合 WHO 的金鑰"},
	    {"VERBOSE INDEX", "同上，並列出子金鑰與簽章"},
	    {"MGET", "寄送符合正規表示式 REGEXP 的金鑰\n"
		     "（須管理者允許）"},
	    {"LAST", "寄送最近 DAYS 天內有變更的金鑰"},
	    {"STATS", "告知金鑰數量與伺服器狀態"},
	},
};
