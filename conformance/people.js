/** People of the whole world: names and addresses in many scripts, the same ones at every run. */

/** Given and family names of one script; `local` are parts of addresses, `domains` fit them. */
const WORLDS = [
  {
    given: ['Ann', 'Bob', 'Zoë', 'François', 'Jürgen', 'Łukasz', 'Şebnem', 'Nguyễn', 'Åsa', 'Ñusta', 'Þór', 'Dvořák', 'Iñaki', "Seán"],
    family: ["O'Neill", 'Müller-Lüdenscheidt', 'Kovačević', 'Trần Thị Hạnh', 'Sørensen', 'Çelik', 'D’Angelo', 'van der Berg', 'İnönü', 'Ångström', 'Škvorecký', 'Ștefănescu', 'ß'],
    local: ['ann', 'jürgen', 'zoë', 'łukasz', 'françois', 'Ann.Lee', "o'neill", 'x_y-z', 'first+tag', 'hạnh'],
    domains: ['example.test', 'mail.example', 'bücher.example', 'Example.TEST'],
  },
  {
    given: ['Анна', 'Борис', 'Олександра', 'Ђорђе', 'Айгүл', 'Ёлка', 'Їжак', 'Қайрат', 'Ўткир'],
    family: ['Кузнецова', 'Шевченко', 'Петровић', 'Щербаков-Ясный', 'Ґонта', 'Һадиев', 'Љубљанић'],
    local: ['анна', 'борис', 'шевченко', 'ёлка'],
    domains: ['почта.example', 'пример.испытание', 'example.test'],
  },
  {
    given: ['Άννα', 'Βασίλης', 'Γιώργος', 'Ὀδυσσεύς', 'Σοφία', 'Ιφιγένεια'],
    family: ['Παπαδόπουλος', 'Οικονόμου', 'Καζαντζάκης', 'Χατζηιωάννου'],
    local: ['άννα', 'γιώργος', 'σοφία'],
    domains: ['παράδειγμα.δοκιμή', 'example.test'],
  },
  {
    given: ['محمد', 'فاطمة', 'عبد الرحمن', 'زهراء', 'پروین', 'گل‌ناز', 'ٱلْحَسَن'],
    family: ['الخوارزمي', 'بن سعود', 'رضایی', 'چوہدری', 'القُرَشِيّ'],
    local: ['محمد', 'فاطمة', 'رضایی'],
    domains: ['مثال.إختبار', 'example.test'],
  },
  {
    given: ['אברהם', 'רבקה', 'צִפּוֹרָה', 'יוֹסֵף'],
    family: ['כהן', 'בן־גוריון', 'לוי', 'ג׳ונסון'],
    local: ['אברהם', 'רבקה'],
    domains: ['דוגמה.טעסט', 'example.test'],
  },
  {
    given: ['अनीता', 'कृष्ण', 'श्रीनिवास', 'लक्ष्मी', 'ज़ोया'],
    family: ['शर्मा', 'कुलकर्णी', 'त्रिपाठी', 'वर्मा'],
    local: ['अनीता', 'कृष्ण', 'शर्मा'],
    domains: ['उदाहरण.परीक्षा', 'example.test'],
  },
  {
    given: ['สมชาย', 'น้ำฝน', 'ปิ่นแก้ว', 'ณัฐวุฒิ'],
    family: ['ศรีสุข', 'วงศ์ใหญ่', 'เจริญพร'],
    local: ['สมชาย', 'ปิ่นแก้ว'],
    domains: ['ตัวอย่าง.example', 'example.test'],
  },
  {
    given: ['伟', '秀英', '𠮷雄', '志明', '小龍', '䶮'],
    family: ['王', '李', '歐陽', '諸葛', '䴏', '𡈽'],
    local: ['王伟', '小龍', '欧阳'],
    domains: ['例子.测试', '例子.測試', 'example.test'],
  },
  {
    given: ['さくら', 'ひろし', 'ジョン', 'がくと', 'ﾊﾅｺ', 'ゞこ'],
    family: ['たなか', '髙橋', '渡邉', 'ヴァレリー', '﨑山'],
    local: ['さくら', 'ひろし', 'ジョン'],
    domains: ['例え.テスト', 'example.test'],
  },
  {
    given: ['지영', '민수', '하늘', '서윤'],
    family: ['김', '이', '박', '남궁', '선우'],
    local: ['지영', '민수', '김하늘'],
    domains: ['실례.테스트', 'example.test'],
  },
  {
    given: ['தமிழ்', 'బాలు', 'ಕಾವ್ಯ', 'തോമസ്', 'রবীন্দ্র', 'ગીતા', 'ਗੁਰਪ੍ਰੀਤ'],
    family: ['செல்வன்', 'రెడ్డి', 'ಗೌಡ', 'কুমার', 'પટેલ', 'ਸਿੰਘ'],
    local: ['தமிழ்', 'రెడ్డి', 'রবি'],
    domains: ['உதாரணம்.பரிட்சை', 'example.test'],
  },
  {
    given: ['ანა', 'Անի', 'አበበ', 'ᏣᎳᎩ', 'ᐃᓄᒃ', 'ស្រីមុំ', 'မောင်', 'ລາວ', 'བསྟན་འཛིན', 'ᠮᠣᠩᠭᠣᠯ', 'ⵜⵉⵏⵀⵉⵏⴰⵏ'],
    family: ['გელაშვილი', 'Սարոյան', 'ቢቂላ', 'សុខ', 'ဦး'],
    local: ['ანა', 'անի', 'አበበ'],
    domains: ['example.test', 'mail.example'],
  },
  {
    given: ['👩‍🚀 Ann', 'Bob 🎉', '👨‍👩‍👧‍👦', '🏳️‍🌈 Cid', 'Dag 👍🏽', '🇺🇳', 'Eve\u2764\uFE0F', '𝓔𝓿𝓮', '🫶🏿'],
    family: ['🦊', '⭐️⭐️⭐️', '(они/их)', '№ 7', '“quoted”', '<b>bold</b>', "Robert'); drop table Users;--", '%_\\', '${name}', '{"a":1}'],
    local: ['eve', 'dag', 'cid.99'],
    domains: ['example.test'],
  },
]

/** A small generator of numbers (Mulberry32): the same seed gives the same people. */
function numbers(seed) {
  let state = seed >>> 0
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let it = Math.imul(state ^ (state >>> 15), state | 1)
    it ^= it + Math.imul(it ^ (it >>> 7), it | 61)
    return ((it ^ (it >>> 14)) >>> 0) % below
  }
}

/**
 * `count` people: `{ email, name, password }`. Addresses are mostly ASCII; no two are the same to
 * a server that folds case and form. A name is typed composed, decomposed or as it stands here.
 */
export function people(count, seed = 20_240_229) {
  const next = numbers(seed)
  const one = list => list[next(list.length)]
  return Array.from({ length: count }, (_, at) => {
    const world = WORLDS[at % WORLDS.length]
    const international = next(4) === 0
    const local = international ? one(world.local) : one(['ann', 'bob', 'cid', 'dag', 'eve', 'Fay', 'GUS'])
    const domain = international ? one(world.domains) : 'example.test'
    const form = one(['NFC', 'NFD', undefined])
    const typed = text => (form ? text.normalize(form) : text)
    return {
      email: typed(`${local}${at}@${domain}`),
      name: typed(`${one(world.given)} ${one(world.family)}`),
      password: `${one(world.given)} ${at} ${next(1e9).toString(36).padStart(6, '0')} kept for me`,
    }
  })
}
