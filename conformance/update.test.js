/** U: users are changed, and server code checks a password; C-11. */
import { aPassword, anAddress, everyAnswerIsSound, refused, serverOfThisFile, unique } from './harness.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'

import Backendless from 'backendless'

const server = await serverOfThisFile()
const app = await server.newApp()

/** Ann, registered and logged in on a client of her own. */
async function ann(on = app) {
  const who = await on.register()
  const client = on.client()
  return { ...who, client, user: await client.Users.login(who.email, who.password) }
}

const dynamicSchema = (on, dynamicSchema) => server.console.tables.setConfigs(on.id, { dynamicSchema })

test('u_r23 changing the name answers the user with the new name', async () => {
  const { client, user, email, password } = await ann()
  user.name = 'Ann'
  const changed = await client.Users.update(user)
  assert.ok(changed instanceof Backendless.User)
  assert.equal(changed.name, 'Ann')
  assert.equal(changed.email, email)
  assert.ok(!('password' in changed))
  assert.ok(Number.isInteger(changed.updated))
  assert.equal((await client.Users.getCurrentUser(true)).name, 'Ann')
  assert.equal((await app.client().Users.login(email, password)).name, 'Ann')
})

test('u_r24 u_r25 a property that is not there comes to be, or is dropped where tables do not grow', async () => {
  const own = await server.newApp()
  const { client, user, email } = await ann(own)
  const grown = unique('grown_').slice(0, 20)
  const changed = await client.Users.update({ ...user, [grown]: 'here' })
  assert.equal(changed[grown], 'here')

  await dynamicSchema(own, false)
  const dropped = unique('dropped_').slice(0, 20)
  const same = await client.Users.update({ ...user, [dropped]: 'gone' })
  assert.equal(same.objectId, user.objectId)
  assert.equal(same.email, email)
  assert.ok(!(dropped in same))
  assert.equal(same[grown], 'here')
})

test('u_r26 u_r27 another user is written back and renamed, and Ann stays who she is', async () => {
  const { client, user } = await ann()
  const bob = await app.register()
  const back = await client.Users.update(bob.user)
  assert.equal(back.objectId, bob.objectId)
  assert.equal(back.email, bob.email)

  const renamed = await client.Users.update({ ...bob.user, name: 'Bobby' })
  assert.equal(renamed.name, 'Bobby')
  assert.equal(renamed.objectId, bob.objectId)
  assert.equal(await client.Users.isValidLogin(), true)
  const current = await client.Users.getCurrentUser(true)
  assert.equal(current.objectId, user.objectId)
  assert.equal(current.email, user.email)
  assert.equal((await app.client().Users.login(bob.email, bob.password)).name, 'Bobby')
})

test('u_r26 the strict profile lets nobody change another user', async () => {
  const own = await server.newApp({ profile: 'standard' })
  const { client, user } = await ann(own)
  const bob = await own.register()
  await refused(client.Users.update(bob.user), 3029)
  await refused(own.client().Users.update(bob.user), 3028)
  assert.equal((await client.Users.update({ ...user, name: 'Ann' })).name, 'Ann')
})

test('a user takes another password and address, and the old ones are worth nothing', async () => {
  const { client, user, email, password } = await ann()
  const [address, secret] = [anAddress(), aPassword()]
  const changed = await client.Users.update({ objectId: user.objectId, email: address, password: secret })
  assert.equal(changed.email, address)
  assert.equal(await client.Users.isValidLogin(), true)
  await refused(app.client().Users.login(email, password), 3003)
  await refused(app.client().Users.login(address, password), 3003)
  assert.equal((await app.client().Users.login(address, secret)).objectId, user.objectId)
  const bob = await app.register()
  const bobs = app.client()
  const his = await bobs.Users.login(bob.email, bob.password)
  await refused(bobs.Users.update({ ...his, email: address }), 3018)
})

test('a user saved and removed through the data API is changed and gone', async () => {
  const { client, user, email, password } = await ann()
  const store = client.Data.of(Backendless.User)
  const saved = await store.save({ objectId: user.objectId, name: 'Anna' })
  assert.equal(saved.name, 'Anna')
  assert.equal(saved.email, email)
  const removed = await store.remove(user.objectId)
  assert.ok(Math.abs(removed.deletionTime - Date.now()) < 60_000)
  await refused(app.client().Users.login(email, password), 3003)
  assert.equal(await client.Users.isValidLogin(), false)
})

test('u_c11 the Console sets a status and answers the record, makes and deletes users', async () => {
  const { tables } = server.console
  const { client, user } = await ann()
  const table = { name: 'Users', tableId: 'Users', relations: [], geoRelations: [] }
  const disabled = await tables.updateRecord(app.id, table, { objectId: user.objectId, userStatus: 'DISABLED' })
  assert.equal(disabled.objectId, user.objectId)
  assert.equal(disabled.userStatus, 'DISABLED')
  await refused(client.Users.getCurrentUser(true), 3090)
  const enabled = await tables.updateRecord(app.id, table, { ...disabled, userStatus: 'ENABLED', name: 'Ann' })
  assert.equal(enabled.userStatus, 'ENABLED')
  assert.equal(enabled.name, 'Ann')

  const who = { email: anAddress(), password: aPassword() }
  const made = await tables.createRecord(app.id, table, who)
  assert.equal(made.email, who.email)
  assert.ok(!('password' in made))
  assert.equal((await app.client().Users.login(who.email, who.password)).objectId, made.objectId)
  assert.equal(await tables.deleteRecords(app.id, table, [made.objectId]), true)
  await refused(app.client().Users.login(who.email, who.password), 3003)
})

test('u_r40 server code learns whether a password is right', async () => {
  const who = await app.register()
  const { Users } = app.client('BL')
  await Users.login(who.objectId)
  assert.deepEqual(await Users.verifyPassword(who.password), true)
  assert.deepEqual(await Users.verifyPassword(aPassword()), false)
  assert.equal(await Users.isValidLogin(), true)
})

test('u_r41 no other key does', async () => {
  const { client, password } = await ann()
  const message = 'Password verification allowed only from CloudCode'
  await refused(client.Users.verifyPassword(password), 3122, { status: 400, message })
})

test('u_r42 a token that is none is told first', async () => {
  const who = await app.register()
  const client = app.client('BL')
  await client.Users.login(who.objectId)
  client.setCurrentUserToken('invalid-token')
  const message = 'Not existing user token - invalid-token. Relogin user to update your user token'
  await refused(client.Users.verifyPassword(aPassword()), 3064, { message })
})

everyAnswerIsSound(server)
