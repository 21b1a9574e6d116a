/** U: logging in by every way there is, and out. */
import { aPassword, anAddress, everyAnswerIsSound, refused, serverOfThisFile, unique } from './harness.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'

import Backendless from 'backendless'

const server = await serverOfThisFile()
const app = await server.newApp()

/** Logs in on a client of its own, as from another device. */
async function loginOf(someApp, who) {
  const client = someApp.client()
  await client.Users.login(who.email, who.password)
  return client
}

test('u_r10 a login answers id, address and a token, and no password', async () => {
  const ann = await app.register({ name: 'Ann' })
  const client = app.client()
  const user = await client.Users.login(ann.email, ann.password)
  assert.equal(user.objectId, ann.objectId)
  assert.equal(user.email, ann.email)
  assert.equal(user.name, 'Ann')
  assert.ok(user instanceof Backendless.User)
  assert.ok(!('password' in user))
  assert.match(user['user-token'], /^[0-9A-F]{8}-([0-9A-F]{4}-){3}[0-9A-F]{12}$/)
  assert.ok(Math.abs(user.lastLogin - Date.now()) < 60_000)
  assert.equal(user.updated, null, 'a login is not a change of the user')

  const read = await client.Users.getCurrentUser(true)
  assert.equal(read.objectId, ann.objectId)
  assert.equal(read['user-token'], user['user-token'])
  assert.equal(read.lastLogin, user.lastLogin)

  // The address counts, not its spelling.
  const again = await app.client().Users.login(ann.email.toUpperCase(), ann.password)
  assert.equal(again.objectId, ann.objectId)
  assert.equal(again.email, ann.email)
})

test('u_r11 u_r12 an unknown address and a wrong password are refused in the same words', async () => {
  const ann = await app.register()
  const client = app.client()
  const expected = { status: 401, message: 'Invalid login or password' }
  const unknown = await refused(client.Users.login(anAddress(), ann.password), 3003, expected)
  const wrong = await refused(client.Users.login(ann.email, aPassword()), 3003, expected)
  assert.deepEqual({ ...unknown.body, errorData: null }, { ...wrong.body, errorData: null })
  const last = await refused(client.Users.login(ann.email, `${ann.password}x`), 3003, expected)
  assert.equal(last.body.code, 3003)
  assert.equal(await client.Users.getCurrentUser(), null)

  // Another app's user is unknown here.
  const other = await server.newApp()
  await refused(other.client().Users.login(ann.email, ann.password), 3003, expected)

  await client.Users.login(ann.email, ann.password)
})

test('u_r13 a user whom a developer disabled does not log in, until enabled again', async () => {
  const ann = await app.register()
  const client = await loginOf(app, ann)
  const { console } = server
  const setStatus = userStatus =>
    console.tables.updateRecord(app.id, { name: 'Users' }, { objectId: ann.objectId, userStatus })

  const record = await setStatus('DISABLED')
  assert.equal(record.objectId, ann.objectId)
  assert.equal(record.userStatus, 'DISABLED')
  await refused(app.client().Users.login(ann.email, ann.password), 3090, { status: 400 })
  // Only the right password learns that (E-1).
  await refused(app.client().Users.login(ann.email, aPassword()), 3003, { status: 401 })
  assert.equal(await client.Users.isValidLogin(), false)
  await refused(client.Users.getCurrentUser(true), 3090)

  await setStatus('ENABLED')
  assert.equal(await client.Users.isValidLogin(), false, 'an ended session does not come back')
  await loginOf(app, ann)
})

test('u_r14 by default the newest login wins', async () => {
  const ann = await app.register()
  const bob = await app.register()
  const bobs = await loginOf(app, bob)
  const first = await loginOf(app, ann)
  assert.equal(await first.Users.isValidLogin(), true)
  const second = await loginOf(app, ann)

  // The check carries the dead token in its header too.
  assert.equal(await first.Users.isValidLogin(), false)
  assert.equal(await second.Users.isValidLogin(), true)
  assert.equal(await bobs.Users.isValidLogin(), true, 'other users are not concerned')

  const token = first.getCurrentUserToken()
  await refused(first.Users.getCurrentUser(true), 3064, {
    status: 400,
    message: `Not existing user token - ${token}. Relogin user to update your user token`,
  })
})

test('u_r15 with logoutLastUser the second login is turned away and the first stays', async () => {
  const strict = await server.newApp()
  const stored = await strict.loginSettings({ enableMultipleLogins: false, logoutLastUser: true })
  assert.equal(stored.logoutLastUser, true)
  const ann = await strict.register()
  const first = await loginOf(strict, ann)
  await refused(strict.client().Users.login(ann.email, ann.password), 3002, { status: 400 })
  assert.equal(await first.Users.isValidLogin(), true)

  await first.Users.logout()
  await loginOf(strict, ann)
})

test('u_r16 with two logins allowed the third is refused and both stay', async () => {
  const two = await server.newApp()
  const stored = await two.loginSettings({ enableMultipleLogins: true, maxConcurrentLogins: 2 })
  assert.equal(stored.enableMultipleLogins, true)
  assert.equal(stored.maxConcurrentLogins, 2)
  const ann = await two.register()
  const first = await loginOf(two, ann)
  const second = await loginOf(two, ann)
  await refused(two.client().Users.login(ann.email, ann.password), 3044, { status: 400 })
  assert.equal(await first.Users.isValidLogin(), true)
  assert.equal(await second.Users.isValidLogin(), true)

  // A place that gets free can be taken, and 0 is no limit.
  await first.Users.logout()
  const third = await loginOf(two, ann)
  assert.equal(await second.Users.isValidLogin(), true)
  await two.loginSettings({ maxConcurrentLogins: 0 })
  for (let more = 0; more < 4; more += 1) await loginOf(two, ann)
  assert.equal(await third.Users.isValidLogin(), true)
})

test('u_r17 by default three failures lock nobody out', async () => {
  const ann = await app.register()
  const client = app.client()
  for (let failures = 0; failures < 3; failures += 1) {
    await refused(client.Users.login(ann.email, aPassword()), 3003, { status: 401 })
  }
  assert.equal((await client.Users.login(ann.email, ann.password)).objectId, ann.objectId)
})

test('u_r18 with failedLoginsLock two failures in a row lock, and a success in between resets', async () => {
  const strict = await server.newApp()
  assert.equal((await strict.loginSettings({ failedLoginsLock: 2 })).failedLoginsLock, 2)
  const ann = await strict.register()
  const bob = await strict.register()
  const fail = () => refused(strict.client().Users.login(ann.email, aPassword()), 3003, { status: 401 })

  await fail()
  await loginOf(strict, ann)
  await fail()
  await fail()
  await refused(strict.client().Users.login(ann.email, ann.password), 3036, { status: 400 })
  // Another spelling is the same account; another account is another one.
  await refused(strict.client().Users.login(ann.email.toUpperCase(), ann.password), 3036)
  await loginOf(strict, bob)
})

test('u_r19 a guest gets an account, a session and what it makes', async () => {
  const client = app.client()
  const guest = await client.Users.loginAsGuest()
  assert.equal(guest.___class, 'Users')
  assert.equal(guest.userStatus, 'GUEST')
  assert.ok(typeof guest.objectId === 'string' && guest.objectId)
  assert.ok(typeof guest['user-token'] === 'string' && guest['user-token'])
  assert.equal(guest.email, null)
  assert.equal(guest.name, null)
  assert.ok(!('password' in guest))
  assert.equal(await client.Users.isValidLogin(), true)

  const table = unique('Table_').slice(0, 20)
  const saved = await client.Data.of(table).save({})
  assert.equal(saved.___class, table)
  assert.ok(typeof saved.objectId === 'string' && saved.objectId)
  assert.equal(saved.ownerId, guest.objectId)

  // Each guest is somebody else.
  const another = await app.client().Users.loginAsGuest()
  assert.notEqual(another.objectId, guest.objectId)
  assert.equal(await client.Users.isValidLogin(), true)
})

test('u_r20 server code logs a user in by object id', async () => {
  const serverCode = app.client('BL')
  const made = new Backendless.User()
  made.email = anAddress()
  made.password = aPassword()
  const saved = await serverCode.Data.of(Backendless.User).save(made)
  assert.equal(saved.email, made.email)
  assert.ok(!('password' in saved))

  const user = await serverCode.Users.login(saved.objectId)
  assert.equal(user.objectId, saved.objectId)
  assert.equal(user.email, made.email)
  assert.ok(user['user-token'])
  assert.ok(!('password' in user))
  assert.equal(await serverCode.Users.isValidLogin(), true)

  // The password that was saved through the data API counts too.
  assert.equal((await app.client().Users.login(made.email, made.password)).objectId, saved.objectId)
  await refused(app.client('BL').Users.login(unique()), 3057)
})

test('u_r21 no other key logs a user in by object id', async () => {
  const ann = await app.register()
  const message = 'Login by object id is allowed only for Code Runner API key'
  for (const deviceType of ['JS', 'REST', 'IOS', 'ANDROID', 'WP', 'AS']) {
    const client = app.client(deviceType)
    await refused(client.Users.login(ann.objectId), 2014, { status: 400, message })
    assert.equal(await client.Users.getCurrentUser(), null)
  }
  assert.equal((await app.client('BL').Users.login(ann.objectId)).objectId, ann.objectId)
})

test('u_r22 logging out ends the session, and succeeds without one', async () => {
  const ann = await app.register()
  const client = await loginOf(app, ann)
  const token = client.getCurrentUserToken()
  assert.equal(await client.Users.isValidLogin(), true)
  await client.Users.logout()
  assert.equal(await client.Users.getCurrentUser(), null)
  assert.equal(client.getCurrentUserToken(), null)

  // The token is dead, whoever brings it.
  const thief = app.client()
  thief.Users.setCurrentUser({ objectId: ann.objectId, 'user-token': token })
  assert.equal(await thief.Users.isValidLogin(), false)
  await refused(thief.Users.getCurrentUser(true), 3064)

  await client.Users.logout()
  await app.client().Users.logout()
})

test('u_2_10 who stays logged in takes the token along to the next start, and cookies change nothing', async () => {
  const ann = await app.register()
  for (const cookieSessionsEnabled of [false, true]) {
    await app.loginSettings({ cookieSessionsEnabled })
    const first = app.client()
    await first.Users.login(ann.email, ann.password, true)
    const { USER_TOKEN, CURRENT_USER_ID, STAY_LOGGED_IN } = first.LocalCache.Keys
    const kept = [USER_TOKEN, CURRENT_USER_ID, STAY_LOGGED_IN].map(key => [key, first.LocalCache.get(key)])
    assert.equal(kept[0][1], first.getCurrentUserToken())

    // The next start: another client, with what the first has left in its storage.
    const next = app.client()
    for (const [key] of kept) next.LocalCache.remove(key)
    assert.equal(await next.Users.isValidLogin(), false)
    for (const [key, value] of kept) next.LocalCache.set(key, value)
    assert.equal(await next.Users.isValidLogin(), true)
    assert.equal((await next.Users.getCurrentUser()).objectId, ann.objectId)
    await next.Users.logout()
    assert.equal(await first.Users.isValidLogin(), false)
  }
  await app.loginSettings({ cookieSessionsEnabled: false })
})

test('s_t1 after ten wrong passwords there are pauses, and the right one works after them', async () => {
  const ann = await app.register()
  const client = app.client()
  let wrong = 0
  for (let n = 0; n < 14; n++) {
    const error = await client.Users.login(ann.email, aPassword()).then(() => undefined, it => it)
    assert.ok([3003, 999].includes(error.code), `${error.code} ${error.message}`)
    wrong += error.code === 3003
  }
  assert.ok(wrong >= 10 && wrong < 14, `${wrong} evaluated`)
  await new Promise(done => setTimeout(done, 4000))
  await client.Users.login(ann.email, ann.password)
})

everyAnswerIsSound(server)
