/**
 * Notes every answer that the clients of this process get over HTTP, without touching it.
 *
 * What must hold for *all* answers (U:0.1, N-05, N-08) is then checked over whatever the tests of a
 * file happened to ask for, and not only where somebody thought of it.
 */
import assert from 'node:assert/strict'
import http from 'node:http'

/** @typedef {{ method: string, path: string, status: number, headers: object, text: string }} Answer */

/** @type {Answer[]} */
export const answers = []

/** Passwords and tokens that went over the wire: none may turn up where it does not belong. */
export const passwords = new Set()
export const tokens = new Set()

// The body arrives through `push`, a null ends it; reading it here leaves the stream as it is.
const push = http.IncomingMessage.prototype.push
http.IncomingMessage.prototype.push = function (chunk, encoding) {
  if (this.req) {
    if (chunk === null) finish(this)
    else (this.witnessed ??= []).push(Buffer.from(chunk, encoding))
  }
  return push.call(this, chunk, encoding)
}

// What is sent: only to learn which texts are passwords.
const write = http.ClientRequest.prototype.write
http.ClientRequest.prototype.write = function (chunk, ...rest) {
  try {
    const sent = JSON.parse(String(chunk))
    for (const it of Array.isArray(sent) ? sent : [sent]) {
      // Short ones occur by chance; the suite's own are long.
      if (typeof it?.password === 'string' && it.password.length >= 12) passwords.add(it.password)
    }
  } catch {
    // Not JSON: nothing to learn.
  }
  return write.call(this, chunk, ...rest)
}

function finish(response) {
  const { method, path } = response.req
  const text = Buffer.concat(response.witnessed ?? []).toString('utf8')
  const { statusCode: status, headers } = response
  if (path === '/readyz') return // the harness asks, not a client
  answers.push({ method, path, status, headers, text })
  const body = parse(text)
  if (typeof body?.['user-token'] === 'string') tokens.add(body['user-token'])
  for (const it of [headers['auth-key'], body?.authKey]) if (typeof it === 'string') tokens.add(it)
}

function parse(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Every object within `value`, itself included. */
function* objectsIn(value) {
  if (value === null || typeof value !== 'object') return
  if (!Array.isArray(value)) yield value
  for (const it of Object.values(value)) yield* objectsIn(it)
}

/** Checks all answers so far; the message names the request. */
export function checkAnswers() {
  assert.ok(answers.length > 0, 'no answer was seen: the witness does not work')
  for (const { method, path, status, headers, text } of answers) {
    const which = `${method} ${path} → ${status} ${text.slice(0, 300)}`
    const body = parse(text)
    const looksFailed = body !== null && typeof body === 'object' && !Array.isArray(body)
      && Number.isInteger(body.code) && typeof body.message === 'string'

    if (status < 400) {
      assert.notEqual(status, 204, `U:0.1 a void operation answers 200 with nothing in it: ${which}`)
      assert.notEqual(text, 'null', `U:0.1 nothing is an empty body: ${which}`)
      assert.ok(!looksFailed, `N-08 a success that looks like a failure: ${which}`)
    } else {
      assert.ok(looksFailed, `U:0.1 a failure is {code, message}: ${which}`)
      assert.equal(typeof (body.errorData ?? {}), 'object', which)
      assert.notEqual(status, 502, which)
      assert.match(headers['content-type'] ?? '', /^application\/json/, which)
    }
    // `/info` repeats to the caller the key that it came with.
    const tells = /"(user-token|authKey|apiKey|email)":/.test(text) && !path.endsWith('/info')
    if (headers['auth-key'] || tells) {
      assert.match(headers['cache-control'] ?? '', /no-store/, `S-14 a secret or a person may be cached: ${which}`)
    }
    for (const it of objectsIn(body)) {
      assert.ok(!Object.hasOwn(it, 'password'), `N-05 a password key: ${which}`)
    }
    for (const it of passwords) assert.ok(!text.includes(it), `N-05 a password: ${which}`)
    assert.doesNotMatch(text, /\$argon2/, `N-05 a password hash: ${which}`)
  }
}
