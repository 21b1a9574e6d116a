/**
 * A thousand people of the whole world register, log in and are validated; the server is killed and
 * started again; sessions, logouts and disabled accounts are as they were.
 */
import { ENGINE, everyAnswerIsSound, refused, serverOfThisFile } from './harness.js'
import { people } from './people.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'

import Backendless from 'backendless'

const COUNT = Number(process.env.WORLD_USERS ?? 1000)
const PARALLEL = 16

const server = await serverOfThisFile()
const everybody = people(COUNT)
const app = await server.newApp()

/** Does `work` for each of `list`, a bounded number at a time. */
async function forAll(list, work) {
  const queue = list.entries()
  const lane = async () => {
    for (const [at, it] of queue) await work(it, at)
  }
  await Promise.all(Array.from({ length: PARALLEL }, lane))
}

/** Says how long something took: figures to look at, not to fail on. */
async function timed(context, what, work) {
  const started = performance.now()
  const result = await work()
  const seconds = (performance.now() - started) / 1000
  context.diagnostic(`${ENGINE}: ${what} in ${seconds.toFixed(1)} s`)
  return result
}

const isValid = ({ client }) => client.Users.isValidLogin()

/** Reads the own record; name and address must be as they were typed, code unit by code unit. */
async function isUnchanged({ client, email, name, objectId }) {
  const read = await client.Users.getCurrentUser(true)
  assert.equal(read.objectId, objectId)
  assert.equal(read.email, email)
  assert.equal(read.name, name)
}

test('the people are of many scripts and the same ones each time', () => {
  assert.deepEqual(people(200), people(200))
  const folded = new Set(everybody.map(it => it.email.normalize('NFKC').toLowerCase()))
  assert.equal(folded.size, COUNT, 'no two addresses are one')
  const text = everybody.map(it => it.name).join('')
  for (const script of ['Latin', 'Cyrillic', 'Greek', 'Arabic', 'Hebrew', 'Devanagari', 'Thai', 'Han', 'Hiragana', 'Katakana', 'Hangul']) {
    assert.match(text, new RegExp(`\\p{Script=${script}}`, 'u'))
  }
  assert.match(text, /\p{Extended_Pictographic}/u)
  assert.ok(everybody.some(it => it.name !== it.name.normalize('NFC')), 'some are decomposed')
  assert.ok(everybody.some(it => it.name !== it.name.normalize('NFD')), 'some are composed')
  const international = everybody.filter(it => /[^ -~]/.test(it.email)).length
  assert.ok(international > COUNT / 20 && international < COUNT / 2, `${international} of ${COUNT}`)
})

test('they register, and come back as they typed', async context => {
  await timed(context, `${COUNT} registrations`, () =>
    forAll(everybody, async person => {
      const { email, name, password } = person
      person.client = app.client()
      const user = await person.client.Users.register({ email, name, password }).catch(error => {
        throw new Error(`${email} (${name}): ${error.code} ${error.message}`)
      })
      assert.equal(user.email, email)
      assert.equal(user.name, name)
      person.objectId = user.objectId
    }))
  assert.equal(new Set(everybody.map(it => it.objectId)).size, COUNT)
})

test('they log in, and their sessions are valid', async context => {
  await timed(context, `${COUNT} logins`, () =>
    forAll(everybody, async person => {
      const user = await person.client.Users.login(person.email, person.password)
      assert.equal(user.objectId, person.objectId)
      assert.equal(user.email, person.email)
      assert.equal(user.name, person.name)
    }))
  assert.equal(new Set(everybody.map(it => it.client.getCurrentUserToken())).size, COUNT)
  await timed(context, `${COUNT} checks`, () =>
    forAll(everybody, async person => assert.equal(await isValid(person), true, person.email)))
})

test('killed and started again, the server knows all of them and their sessions', async context => {
  await server.kill9()
  await timed(context, 'the start after a kill', () => server.restart())
  await forAll(everybody, async person => assert.equal(await isValid(person), true, person.email))
  await timed(context, `${COUNT} reads`, () => forAll(everybody, isUnchanged))
})

test('an address in another spelling is the same person', async () => {
  const some = everybody.slice(0, 60)
  await forAll(some, async person => {
    const { email, password } = person
    for (const spelling of [email.normalize('NFD'), email.normalize('NFC'), ` ${email.toUpperCase()} `]) {
      const client = app.client()
      const user = await client.Users.login(spelling, password).catch(error => {
        throw new Error(`${email} as ${spelling}: ${error.code} ${error.message}`)
      })
      assert.equal(user.objectId, person.objectId)
      assert.equal(user.email, email, 'shown as it was typed at registration')
      // The newest login has ended the one before.
      person.client = client
    }
    await refused(app.client().Users.register({ email: email.toUpperCase(), password }), 3033)
  })
})

test('logouts and disabled accounts survive a kill, and so does everybody else', async () => {
  const out = everybody.filter((_, at) => at % 10 === 3)
  const disabled = everybody.filter((_, at) => at % 10 === 7)
  const rest = everybody.filter(it => !out.includes(it) && !disabled.includes(it))
  const serverCode = app.client('BL')
  for (const person of [...out, ...disabled]) person.token = person.client.getCurrentUserToken()

  await Promise.all([
    forAll(out, ({ client }) => client.Users.logout()),
    forAll(disabled, ({ objectId }) => serverCode.Users.disableUser(objectId)),
  ])
  // Everything was acknowledged; nothing more may be needed.
  await server.kill9()
  await server.restart()

  for (const { objectId, token, email } of [...out, ...disabled]) {
    const thief = app.client()
    thief.Users.setCurrentUser({ objectId, 'user-token': token })
    assert.equal(await thief.Users.isValidLogin(), false, email)
  }
  await forAll(out.slice(0, 10), async ({ objectId, token }) => {
    const thief = app.client()
    thief.Users.setCurrentUser({ objectId, 'user-token': token })
    await refused(thief.Users.getCurrentUser(true), 3064)
  })
  await forAll(disabled, async ({ objectId }) => {
    const user = await serverCode.Data.of(Backendless.User).findById(objectId)
    assert.equal(user.userStatus, 'DISABLED')
  })
  await forAll(disabled, ({ email, password }) => refused(app.client().Users.login(email, password), 3090))
  await forAll(rest, async person => {
    assert.equal(await isValid(person), true, person.email)
    await isUnchanged(person)
  })

  // Who logged out comes in again; who is enabled again, too, but not on the old session.
  await forAll(out, async person => {
    await person.client.Users.login(person.email, person.password)
    await isUnchanged(person)
  })
  const back = disabled.slice(0, 10)
  await forAll(back, async person => {
    await serverCode.Users.enableUser(person.objectId)
    assert.equal(await isValid(person), false)
    await person.client.Users.login(person.email, person.password)
    await isUnchanged(person)
  })
})

everyAnswerIsSound(server)
