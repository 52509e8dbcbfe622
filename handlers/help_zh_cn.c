/*
 * HELP in Chinese, in simplified characters.
 */
#include "handlers/help.h"

const struct help_language help_zh_cn = {
    .code = "zh-cn",
    .names = {"zh", "cn", "zho", "chi", "zh-hans", "chinese",
	"simplified chinese", "chinese simplified", "简体中文", "中文"},
    .what = "这是通过电子邮件工作的 "
	    "OpenPGP 密钥服务器，保存公钥，\n"
	    "并发送给任何索取的人。",
    .ask = "使用方法",
    .send_to = "请发送邮件至",
    .how = "并在主题中写上一个命令。命令不区分大"
	   "小写。只有 ADD 和 CHECK 会读取\n"
	   "邮件的其他内容；使用其他命令时，"
	   "正文可以为空。",
    .commands = "命令",
    .who = "WHO 可以是",
    .address = "与此完全相同的电子邮件地址",
    .fpr = "指纹",
    .long_id = "16 位的密钥 ID",
    .short_id = "8 位的密钥 ID（并不安全）",
    .words = "完整的单词，必须全部匹配，顺序不限",
    .literal = "与此完全相同的字句",
    .who_note = "指纹和密钥 ID 不带 0x，或中间含有空"
		"格，也都能找到。子密钥也在查找之列。",
    .add = "如何把密钥放到这里",
    .add_how = "请发送一封主题为 ADD 的邮件，并"
	       "将您的公钥放在正文或附件中。\n"
	       "下面的命令可以输出公钥：",
    .add_note = "千万不要发送私钥。如要公布新的"
		"用户 ID、新的有效期或吊销声明，\n"
		"请再次发送该密钥。未经密钥"
		"本身签名的内容不予保存。\n"
		"回信会说明收下了哪些内容。",
    .limits = "限制",
    .reply_keys = "每次答复的密钥：最多 # 个。如果"
		  "匹配的更多，会告诉您有多少个。",
    .last_days = "LAST 可回溯的天数：最多 # 天。",
    .last_keys = "答复 LAST 的密钥：最多 # 个。",
    .add_keys = "每次 ADD 收下的密钥：前 # 个。",
    .no_list = "任何人都无法取得所有密钥的列表。",
    .no_owner = "本服务器不知道密钥属于谁。任"
		"何人都能用任何名字制作密钥，\n"
		"请务必向持有人核对指纹。",
    .questions = "如有问题，请写信至以下"
		 "地址，会有专人阅读：",
    .languages = "其他语言的说明：请在主题中"
		 "写上 HELP 和下列代码之一。",
    .no_command = "您的邮件主题中没有命令。",
    .unknown = "您的邮件主题不是以本密"
	       "钥服务器的命令开头。",
    .pointer = "想了解使用方法，请发送"
	       "一封主题为 HELP 的邮件。",
    .summary =
	{
	    {"HELP", "发送本说明（语言代码见文末）"},
	    {"ADD", "收下正文或附件中的公钥"},
	    {"CHECK", "告知 ADD 会收下哪些内容，"
		      "但不保存任何内容"},
	    {"GET", "发送匹配 WHO 的密钥"},
	    {"INDEX", "列出匹配 WHO 的密钥"},
	    {"VERBOSE INDEX", "同上，并列出子密钥和签名"},
	    {"MGET", "发送匹配正则表达式 REGEXP 的密钥\n"
		     "（须管理员允许）"},
	    {"LAST", "发送最近 DAYS 天内有变更的密钥"},
	    {"STATS", "告知密钥数量和服务器状态"},
	},
};
