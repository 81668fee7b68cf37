import { http, KEY, noise, pick } from '../clients/hostile-requests.ts'
import type { Family, Random } from '../clients/hostile-requests.ts'

const BOUNDARY = 'b0undary'
const FILE = 'Content-Disposition: form-data; name="file"; filename="a.mp3"'

function part (headers: readonly string[], content: string): string {
  return `--${BOUNDARY}\r\n${headers.join('\r\n')}\r\n\r\n${content}\r\n`
}

const END = `--${BOUNDARY}--\r\n`
const field = (name: string, value: string): string => part([`Content-Disposition: form-data; name="${name}"`], value)
const letters = (random: Random): string => random(2 ** 30).toString(36)

function post (body: string, type = `multipart/form-data; boundary=${BOUNDARY}`): Buffer {
  return http('POST', '/uploads', [KEY, `content-type: ${type}`, `content-length: ${body.length}`], body)
}

const refused = (body: string, type?: string): ReturnType<Family> => ({ bytes: post(body, type), then: 'wait', statuses: [400, 415] })

/** A form with one whole file, which is odd in something else. */
function whole (random: Random, body: (content: string) => string): ReturnType<Family> {
  const content = letters(random)
  return { bytes: post(body(content)), then: 'wait', statuses: [201, 400, 415], content: Buffer.from(content) }
}

const FILENAMES = [
  'filename="a\r\nx-injected: 1"', 'filename="a\\r\\nx-injected: 1.mp3"', 'filename="../../etc/passwd"', 'filename="..\\..\\x.mp3"', 'filename="/etc/passwd"', 'filename="C:\\x.mp3"', 'filename="a\x00.mp3"', 'filename="%0d%0ax-injected: 1"',
  'filename="CON"', 'filename="."', 'filename=".."', 'filename=""', 'filename', 'filename=', 'filename=a b', 'filename="a', 'filename="\\"', `filename="${'x'.repeat(4_000)}.mp3"`, 'filename="\xff\xfe.mp3"', 'filename="a.mp3"; filename="b.mp3"',
  'filename*=UTF-8\'\'%2e%2e%2fx.mp3', 'filename*=UTF-8\'\'%0d%0ax-injected:%201', 'filename*=utf-7\'\'+AC8-x', 'filename*=UTF-16\'en\'%00%2f', 'filename*=x\'y\'z', 'filename*=', 'filename*=UTF-8\'\'%zz', 'filename*=__proto__\'\'x', 'filename="a.mp3"; filename*=UTF-8\'\'b%00.exe',
  'filename*0="a"; filename*1="b"', `filename*=UTF-8''${'%e2%82%ac'.repeat(500)}`, 'filename="\u00e2\u0080\u00aegpm.exe"',
]
const FIELDS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', '[]', 'a[b]', '\x00', 'x'.repeat(65), 'x'.repeat(5_000), '\xff', 'file', 'a"b', 'a\r\nb', '%0d%0a']

/** Forms that are none, are not whole, or are so in an odd way. */
export const brokenForms: Record<string, Family> = {
  'forms with odd file names': random => whole(random, content => part([`Content-Disposition: form-data; name="file"; ${pick(random, FILENAMES)}`], content) + END),
  'forms with odd fields': random => whole(random, content => field(pick(random, FIELDS), noise(random, random(2_000))) + part([FILE], content) + END),
  'forms with odd headers of parts' (random) {
    const header = pick(random, [`X: ${'x'.repeat(random(100_000))}`, 'X', ': x', 'Content-Type: \x00', 'Content-Transfer-Encoding: base64', 'Content-Transfer-Encoding: x', 'Content-Type: multipart/mixed; boundary=inner', 'Content-Disposition: attachment', 'Content-Length: 999999', 'Content-Type: application/json', ` ${'x'.repeat(50)}`, Array.from({ length: random(200) }, (_, n) => `x-${n}: y`).join('\r\n'), noise(random, 40).replace(/[\r\n]/g, '')])
    return whole(random, content => part(random(2) === 0 ? [FILE, header] : [header, FILE], content) + END)
  },
  'forms that end early' (random) {
    const body = field('a', 'b') + part([FILE], noise(random, random(300))) + END
    const cut = body.slice(0, random(body.length - 4))
    return pick(random, [
      refused(cut), // its length says that it is whole
      { bytes: post(body).subarray(0, -1 - random(body.length)), then: 'half-close', statuses: [400] },
    ] as const)
  },
  'forms with too much in them': random => refused(pick(random, [
    () => Array.from({ length: 33 + random(500) }, (_, n) => field(`f${n}`, 'x')).join('') + part([FILE], 'abc') + END,
    () => Array.from({ length: 2 + random(30) }, () => part([FILE], 'abc')).join('') + END,
    () => part([FILE], 'abc') + Array.from({ length: 33 + random(500) }, (_, n) => field(`f${n}`, 'x')).join('') + END,
    () => field('a', 'x'.repeat(1_025 + random(50_000))) + part([FILE], 'abc') + END,
    () => Array.from({ length: 32 }, (_, n) => field(`f${n}`, 'x'.repeat(500))).join('') + part([FILE], 'abc') + END,
    () => field('x'.repeat(65 + random(20_000)), 'x') + part([FILE], 'abc') + END,
    () => field('a', 'x') + field('a', 'y') + part([FILE], 'abc') + END,
  ])()),
  'forms without a file': random => refused(pick(random, ['', END, '--', '\r\n', field('a', 'b') + END, part([], 'x') + END, part(['Content-Disposition: form-data'], 'x') + END, part(['Content-Type: text/plain'], 'x') + END, `--${BOUNDARY}`, `${BOUNDARY}--`, noise(random, random(500)), `--${BOUNDARY}\n${FILE}\n\nabc\n--${BOUNDARY}--\n`])),
  'forms with another boundary than they say': random => refused(part([FILE], 'abc') + END, pick(random, ['multipart/form-data; boundary=other', `multipart/form-data; boundary=${BOUNDARY}x`, `multipart/form-data; boundary=-${BOUNDARY}`, 'multipart/form-data', `multipart/form-data; boundary=${'x'.repeat(3_000)}`, `multipart/form-data;boundary=" ${BOUNDARY}"`, `multipart/mixed; boundary=${BOUNDARY}`])),
  'forms with something around them': random => whole(random, content => `${pick(random, ['', noise(random, 50), '\r\n'.repeat(20)])}\r\n${part([FILE], content)}${END}${pick(random, ['', noise(random, 50), part([FILE], 'after the end'), '\r\n'.repeat(20)])}`),
}
