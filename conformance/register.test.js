/** U: the client starts, users register. */
import { aPassword, anAddress, everyAnswerIsSound, refused, serverOfThisFile } from './harness.js'
import { tokens } from './witness.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'

import Backendless from 'backendless'

const server = await serverOfThisFile()
const app = await server.newApp()

/** What a user of a new app has, U:1.6. */
const COLUMNS = [
  '___class', 'accountType', 'blUserLocale', 'created', 'email', 'lastLogin', 'name', 'oAuthIdentities',
  'objectId', 'ownerId', 'socialAccount', 'updated', 'userStatus',
]

test('u_r01 a client that was only initialised has no user', async () => {
  const client = app.client()
  await client.appInfoPromise()
  assert.equal(await client.Users.getCurrentUser(), null)
  assert.equal(client.Users.loggedInUser(), null)
  assert.equal(client.getCurrentUserToken(), null)
  assert.equal(await client.Users.isValidLogin(), false)

  // The same questions have another answer after a login.
  const ann = await app.register()
  await client.Users.login(ann.email, ann.password)
  assert.equal((await client.Users.getCurrentUser()).objectId, ann.objectId)
  assert.equal(client.Users.loggedInUser(), ann.objectId)
  assert.equal(await client.Users.isValidLogin(), true)
})

test('u_r02 registering answers the user with an id, the same address and no password', async () => {
  const email = anAddress()
  const started = Date.now()
  const ann = new Backendless.User()
  ann.email = email
  ann.password = aPassword()
  ann.name = 'Ann'
  const user = await app.client().Users.register(ann)

  assert.ok(user instanceof Backendless.User)
  assert.equal(user.email, email)
  assert.equal(user.name, 'Ann')
  assert.equal(user.___class, 'Users')
  assert.ok(typeof user.objectId === 'string' && user.objectId.length > 0)
  assert.ok(!('password' in user))
  assert.ok(!('user-token' in user))
  assert.equal(user.ownerId, user.objectId)
  assert.equal(user.userStatus, 'ENABLED')
  assert.equal(user.lastLogin, null)
  assert.equal(user.updated, null)
  assert.equal(user.accountType, 'BACKENDLESS')
  assert.equal(user.socialAccount, 'BACKENDLESS')
  assert.ok(Number.isInteger(user.created) && Math.abs(user.created - started) < 60_000, 'milliseconds')
  assert.deepEqual(Object.keys(user).sort(), COLUMNS)
})

test('u_r03 registering does not log in', async () => {
  const client = app.client()
  const issued = tokens.size
  await client.Users.register({ email: anAddress(), password: aPassword() })
  assert.equal(await client.Users.getCurrentUser(), null)
  assert.equal(client.getCurrentUserToken(), null)
  assert.equal(tokens.size, issued, 'no token came over the wire')

  // Who is logged in stays so while registering somebody else.
  const ann = await app.register()
  await client.Users.login(ann.email, ann.password)
  const token = client.getCurrentUserToken()
  await client.Users.register({ email: anAddress(), password: aPassword() })
  assert.equal((await client.Users.getCurrentUser()).objectId, ann.objectId)
  assert.equal(client.getCurrentUserToken(), token)
  assert.equal(await client.Users.isValidLogin(), true)
})

test('u_r04 an object without a class name registers just as well', async () => {
  const who = { email: anAddress(), password: aPassword() }
  const user = await app.client().Users.register(who)
  assert.equal(user.email, who.email)
  assert.equal(user.___class, 'Users')
  const again = await app.client().Users.login(who.email, who.password)
  assert.equal(again.objectId, user.objectId)
})

test('u_r05 nothing but the class name is refused with 3011', async () => {
  const { Users } = app.client()
  await refused(Users.register(new Backendless.User()), 3011, { status: 400 })
  await refused(Users.register({}), 3011)
  for (const password of [undefined, null, '']) {
    await refused(Users.register({ email: anAddress(), password }), 3011)
  }
  // With a password the missing address is what is wrong.
  await refused(Users.register({ password: aPassword() }), 3013)
  await Users.register({ email: anAddress(), password: aPassword() })
})

test('u_r06 an address registers once, in whatever spelling, and the first user stays as it was', async () => {
  const ann = await app.register({ name: 'Ann' })
  const { Users } = app.client()
  for (const email of [ann.email, ann.email.toUpperCase(), ` ${ann.email} `]) {
    await refused(Users.register({ email, password: aPassword(), name: 'Eve' }), 3033, { status: 409 })
  }
  const client = app.client()
  const found = await client.Users.login(ann.email, ann.password)
  assert.equal(found.objectId, ann.objectId)
  assert.equal(found.name, 'Ann')
  assert.equal(found.email, ann.email)
  assert.equal(found.created, ann.user.created)

  // In another app the address is free.
  const other = await server.newApp()
  const namesake = await other.register({ email: ann.email })
  assert.notEqual(namesake.objectId, ann.objectId)
})

test('u_r07 with registration switched off nobody registers, switched on again somebody does', async () => {
  const closed = await server.newApp()
  const { console } = server
  const ann = await closed.register()

  const read = await console.users.getUsersRegs(closed.id)
  assert.equal(read.userRegistrationEnabled, true)
  assert.equal(read.emailConfirmationRequired, false)
  const written = await console.users.updateUsersRegs(closed.id, { ...read, userRegistrationEnabled: false })
  assert.equal(written.userRegistrationEnabled, false)
  assert.equal((await console.users.getUsersRegs(closed.id)).userRegistrationEnabled, false)

  const who = { email: anAddress(), password: aPassword() }
  const { Users } = closed.client()
  await refused(Users.register(who), 3009, {
    status: 403,
    message: /User registration is denied for this version of application/,
  })
  // Who is registered already logs in; another app registers as before.
  await Users.login(ann.email, ann.password)
  await app.register()

  await console.users.updateUsersRegs(closed.id, read)
  assert.equal((await closed.client().Users.register(who)).email, who.email)
})

everyAnswerIsSound(server)
