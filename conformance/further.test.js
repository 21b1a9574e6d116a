/** U:N-01 to N-05 and N-08: what holds for many calls at once. */
import { aPassword, anAddress, client, everyAnswerIsSound, refused, serverOfThisFile, unique } from './harness.js'
import { answers } from './witness.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import Backendless from 'backendless'

const TOKEN = /[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12}/g

const server = await serverOfThisFile()
const app = await server.newApp()

/** A client in domain style: it knows a name and no key. */
function clientOf(domain) {
  const { port, url } = server
  return client({ domain: `http://${domain}:${port}`, serverURL: url })
}

/** Binds a domain to the app's key of that kind, as the Console does. */
async function bind(someApp, domain, deviceType = 'JS') {
  const apiKeyId = someApp.keyList.find(it => it.deviceType === deviceType).id
  const made = await server.console.settings.createCustomDomain(someApp.id, { domain, apiKeyId })
  assert.equal(made.domain, domain)
  assert.equal(made.apiKeyId, apiKeyId)
  return made
}

test('u_n01 a domain answers what the key answers', async () => {
  const domain = `${unique('a')}.localhost`
  await bind(app, domain)
  const other = await server.newApp()
  const othersDomain = `${unique('b')}.localhost`
  await bind(other, othersDomain)
  const ann = await app.register({ name: 'Ann' })

  // The same story, told to both doors.
  const story = async open => {
    const told = []
    const tell = async (name, promise) => {
      const [answer] = await Promise.allSettled([promise])
      const { value, reason } = answer
      told.push([name, reason ? [reason.status, reason.code, reason.message.replace(TOKEN, '…')] : plain(value)])
    }
    const one = open()
    await tell('info', one.appInfoPromise())
    await tell('valid without a token', one.Users.isValidLogin())
    await tell('a wrong password', one.Users.login(ann.email, `${ann.password}x`))
    await tell('by id', one.Users.login(ann.objectId))
    await tell('an empty registration', one.Users.register({}))
    await tell('a taken address', one.Users.register({ email: ann.email, password: aPassword() }))
    await tell('the class', one.Users.describeUserClass())
    await tell('login', one.Users.login(ann.email, ann.password))
    await tell('valid', one.Users.isValidLogin())
    await tell('read', one.Users.getCurrentUser(true))
    await tell('disable', one.Users.disableUser(ann.objectId))
    const two = open()
    await tell('login elsewhere', two.Users.login(ann.email, ann.password))
    await tell('valid no more', one.Users.isValidLogin())
    await tell('read no more', one.Users.getCurrentUser(true))
    await tell('logout', two.Users.logout())
    await tell('logout again', two.Users.logout())
    await tell('a guest', open().Users.loginAsGuest())
    return told
  }
  const byKey = await story(() => app.client())
  const byDomain = await story(() => clientOf(domain))
  for (const [at, [name, answer]] of byKey.entries()) assert.deepEqual(byDomain[at], [name, answer], name)
  assert.deepEqual(byKey.find(it => it[0] === 'valid')[1], true, 'the story is not only of refusals')

  // A session made at one door is good at the other.
  const here = clientOf(domain)
  const user = await here.Users.login(ann.email, ann.password)
  const there = app.client()
  there.Users.setCurrentUser({ objectId: user.objectId, 'user-token': user['user-token'] })
  assert.equal((await there.Users.getCurrentUser(true)).objectId, ann.objectId)

  // A domain leads to its own app, and one that nobody bound leads nowhere.
  const info = await clientOf(othersDomain).appInfoPromise()
  assert.equal(info.appId, other.id)
  assert.equal(info.apiKey, other.keys.JS)
  await refused(clientOf(othersDomain).Users.login(ann.email, ann.password), 3003, { status: 401 })
  await refused(clientOf(`${unique('c')}.localhost`).appInfoPromise(), 2002, { status: 400 })
})

test('u_n01 a domain has the rights of the key that it is bound to', async () => {
  const domain = `${unique('s')}.localhost`
  const made = await bind(app, domain, 'BL')
  const ann = await app.register()
  assert.equal((await clientOf(domain).Users.login(ann.objectId)).objectId, ann.objectId)
  await refused(app.client().Users.login(ann.objectId), 2014)

  await server.console.settings.deleteCustomDomain(app.id, made.id)
  await refused(clientOf(domain).Users.login(ann.objectId), 2002)
})

test('u_n02 a stale token keeps nobody from logging in, registering or recovering', async () => {
  const ann = await app.register()
  const stale = await staleClient(ann)
  // It is stale where tokens count.
  await refused(stale.Users.getCurrentUser(true), 3064)

  await stale.Users.register({ email: anAddress(), password: aPassword() })
  assert.equal(await stale.Users.isValidLogin(), false)
  const error = await stale.Users.restorePassword(ann.email).then(() => undefined, it => it)
  assert.ok(error === undefined || error.code === 5050, `recovery: ${error?.code} ${error?.message}`)
  const user = await stale.Users.login(ann.email, ann.password)
  assert.equal(user.objectId, ann.objectId)
  assert.equal(await stale.Users.isValidLogin(), true)

  const guest = await (await staleClient(ann)).Users.loginAsGuest()
  assert.equal(guest.userStatus, 'GUEST')

  // The same with a token that never was one.
  const odd = app.client()
  odd.Users.setCurrentUser({ objectId: ann.objectId, 'user-token': 'invalid-token' })
  await refused(odd.Users.getCurrentUser(true), 3064, {
    message: 'Not existing user token - invalid-token. Relogin user to update your user token',
  })
  assert.equal((await odd.Users.login(ann.email, ann.password)).objectId, ann.objectId)
})

/** A client that holds a token which a newer login has ended. */
async function staleClient(who) {
  const stale = app.client()
  await stale.Users.login(who.email, who.password)
  await app.client().Users.login(who.email, who.password)
  return stale
}

test('u_n03 a session in use lives on, one that is left alone ends', async () => {
  const short = await server.newApp()
  const seconds = 4
  await short.loginSettings({ sessionTimeoutEnabled: true, sessionTimeout: seconds })
  const ann = await short.register()
  const bob = await short.register()
  const anns = short.client()
  const bobs = short.client()
  await anns.Users.login(ann.email, ann.password)
  await bobs.Users.login(bob.email, bob.password)
  assert.equal(await bobs.Users.isValidLogin(), true)

  // Twice the time-out and what it may be late by (a tenth of it, one second at least).
  for (let second = 0; second < 2 * seconds + 2; second += 1) {
    await sleep(1000)
    assert.equal((await anns.Users.getCurrentUser(true)).objectId, ann.objectId, `after ${second + 1} s`)
  }
  assert.equal(await anns.Users.isValidLogin(), true)
  assert.equal(await bobs.Users.isValidLogin(), false)
  await refused(bobs.Users.getCurrentUser(true), 3064)
})

test('u_n04 a guest becomes a user and stays the same object, with the own token only', async () => {
  const guests = app.client()
  const guest = await guests.Users.loginAsGuest()
  const ann = { objectId: guest.objectId, email: anAddress(), password: aPassword(), name: 'Ann' }

  // Not without the guest's token, and not with somebody else's.
  await refused(app.client().Users.register(ann), 3029)
  const eves = app.client()
  const eve = await app.register()
  await eves.Users.login(eve.email, eve.password)
  await refused(eves.Users.register(ann), 3029)
  const otherGuests = app.client()
  await otherGuests.Users.loginAsGuest()
  await refused(otherGuests.Users.register(ann), 3029)
  await refused(app.client().Users.login(ann.email, ann.password), 3003)

  const user = await guests.Users.register(ann)
  assert.equal(user.objectId, guest.objectId)
  assert.equal(user.userStatus, 'ENABLED')
  assert.equal(user.email, ann.email)
  assert.equal(user.name, 'Ann')
  assert.ok(!('user-token' in user))
  assert.equal((await app.client().Users.login(ann.email, ann.password)).objectId, guest.objectId)

  // Once only: the second time the id means nothing, and a new user is made.
  const next = await guests.Users.register({ ...ann, email: anAddress() }).catch(it => it)
  assert.notEqual(next.objectId, guest.objectId)
  assert.equal((await app.client().Users.login(ann.email, ann.password)).objectId, guest.objectId)
})

test('u_n04 server code may convert a guest without the token', async () => {
  const guest = await app.client().Users.loginAsGuest()
  const ann = { objectId: guest.objectId, email: anAddress(), password: aPassword() }
  const user = await app.client('BL').Users.register(ann)
  assert.equal(user.objectId, guest.objectId)
  assert.equal((await app.client().Users.login(ann.email, ann.password)).objectId, guest.objectId)
})

test('u_n05 no question gets a password out, filters by it or sorts by it', async () => {
  const ann = await app.register({ name: 'Ann' })
  const { console } = server
  const anns = app.client()
  await anns.Users.login(ann.email, ann.password)

  for (const some of [app.client(), anns, app.client('BL')]) {
    const users = some.Data.of(Backendless.User)
    const list = await users.find()
    assert.ok(list.length > 0)
    for (const user of list) assert.ok(!('password' in user))
    assert.ok(!('password' in (await users.findById(ann.objectId))))

    const query = change => change(Backendless.DataQueryBuilder.create())
    for (const where of ["password = 'a'", 'password is not null', "`password` like 'a%'", "Password != 'a'"]) {
      await isRefused(users.find(query(it => it.setWhereClause(where))), where)
      await isRefused(users.getObjectCount(where), where)
    }
    await isRefused(users.find(query(it => it.setSortBy(['password']))), 'sort')
    await isRefused(users.find(query(it => it.setSortBy(['password desc']))), 'sort')
    for (const properties of [['password'], ['password as name'], ['Max(password) as name']]) {
      // Leaving it out is as good as a refusal; everyAnswerIsSound looks at what came.
      const rows = await users.find(query(it => it.setProperties(properties))).catch(() => [])
      for (const row of rows) assert.ok(!Object.values(row).some(it => String(it).startsWith('$')), properties)
    }
  }

  // The Console shows the table, the row and the settings, and no password either.
  const table = { name: 'Users', tableId: 'Users', columns: [] }
  const rows = await console.tables.loadRecords(app.id, table, {}, true)
  assert.ok(rows.some(it => it.objectId === ann.objectId))
  await isRefused(console.tables.loadRecords(app.id, table, { where: "password = 'a'", sqlSearch: true }, true), 'Console')
  await isRefused(console.tables.loadRecords(app.id, table, { sortBy: 'password' }, true), 'Console')
  await console.tables.updateRecord(app.id, table, { objectId: ann.objectId, userStatus: 'ENABLED' })

  // The description names the column, and that is all.
  const columns = await app.client().Users.describeUserClass()
  assert.equal(columns.find(it => it.name === 'password')?.defaultValue, null)
  assert.equal(columns.filter(it => it.identity).length, 1)
})

async function isRefused(promise, what) {
  const error = await promise.then(it => assert.fail(`${what}: answered ${JSON.stringify(it)}`), it => it)
  assert.ok(error.status >= 400 && error.status < 500, `${what}: ${error.status} ${error.message}`)
  assert.ok(Number.isInteger(error.code), `${what}: ${error.message}`)
  return error
}

test('u_n08 the witness of this file has seen successes and failures of every kind of call', () => {
  const seen = (method, end) => answers.some(it => it.method === method && it.path.split('?')[0].endsWith(end))
  for (const [method, end] of [
    ['GET', '/info'],
    ['POST', '/users/register'],
    ['POST', '/users/register/guest'],
    ['POST', '/users/login'],
    ['GET', '/users/logout'],
    ['POST', '/data/Users/find'],
    ['GET', '/users/userclassprops'],
    ['POST', '/console/home/login'],
    ['POST', '/console/applications'],
    ['GET', '/console/appsettings'],
    ['POST', '/console/userlogin'],
  ]) {
    assert.ok(seen(method, end), `${method} …${end}`)
  }
  assert.ok(answers.some(it => it.status === 200) && answers.some(it => it.status >= 400))
})

everyAnswerIsSound(server)

/** An answer without what differs from one call to the next. */
function plain(value) {
  if (value === null || typeof value !== 'object') return value
  const copy = JSON.parse(JSON.stringify(value))
  for (const name of ['user-token', 'lastLogin']) if (copy[name]) copy[name] = '…'
  if (copy.userStatus === 'GUEST') for (const name of ['objectId', 'ownerId', 'created']) copy[name] = '…'
  return copy
}
