/** U:C-08, R-08, R-09 and R-30: what a user is, and who decides it. */
import { aPassword, anAddress, everyAnswerIsSound, refused, serverOfThisFile } from './harness.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'

import Backendless from 'backendless'

const server = await serverOfThisFile()
const app = await server.newApp({ profile: 'compat' })

/** A user with more properties, as an application makes one. */
function somebody(properties) {
  const user = new Backendless.User()
  return Object.assign(user, { email: anAddress(), password: aPassword() }, properties)
}

test('u_r08 two properties that the table lacks are stored and returned', async () => {
  const client = app.client()
  const ann = somebody({ someNewProp1: 'some-value-1', someNewProp2: 42 })
  const user = await client.Users.register(ann)
  assert.equal(user.someNewProp1, 'some-value-1')
  assert.equal(user.someNewProp2, 42)
  const again = await client.Users.login(ann.email, ann.password)
  assert.equal(again.someNewProp1, 'some-value-1')
  assert.equal(again.someNewProp2, 42)
})

test('u_c08 u_r09 with dynamic schema off new properties are dropped, and with it on again they are kept', async () => {
  const client = app.client()
  const { tables } = server.console
  const before = await tables.loadConfigs(app.id)
  assert.equal(before.dynamicSchema, true)
  const off = await tables.setConfigs(app.id, { dynamicSchema: false })
  assert.equal(off.dynamicSchema, false)
  const bob = somebody({ droppedProp1: 'x', droppedProp2: 'y' })
  const user = await client.Users.register(bob)
  assert.ok(user.objectId)
  assert.equal(user.email, bob.email)
  assert.ok(!('droppedProp1' in user) && !('droppedProp2' in user))
  await tables.setConfigs(app.id, before)
  const cid = await client.Users.register(somebody({ droppedProp1: 'x' }))
  assert.equal(cid.droppedProp1, 'x')
})

test('u_r30 the description of users has the new property and those of the system', async () => {
  const client = app.client()
  await client.Users.register(somebody({ location: 'Rome' }))
  const described = await client.Users.describeUserClass()
  const names = described.map((it) => it.name)
  for (const name of ['location', 'email', 'created', 'updated', 'objectId']) {
    assert.ok(names.includes(name), `${name} is in ${names}`)
  }
  assert.deepEqual(described.filter((it) => it.identity).map((it) => it.name), ['email'])
})

test('u_5 a developer makes tables and columns through the Console client, changes and drops them', async () => {
  const { tables } = server.console
  const table = await tables.create(app.id, { name: 'Pet' })
  assert.equal(table.name, 'Pet')
  for (const dataType of ['INT', 'DOUBLE', 'BOOLEAN', 'STRING', 'DATETIME', 'TEXT', 'JSON']) {
    const name = `a_${dataType.toLowerCase()}`
    const column = await tables.createColumn(app.id, table, { name, dataType, dataSize: 500 })
    assert.ok(column.columnId)
    assert.equal(column.dataType, dataType)
  }
  const pet = await app.client().Data.of('Pet').save({ a_int: 3, a_json: { legs: [1, 2] }, a_boolean: true })
  assert.deepEqual([pet.a_int, pet.a_json, pet.a_boolean], [3, { legs: [1, 2] }, true])

  const all = await tables.get(app.id)
  const listed = all.tables.find((it) => it.name === 'Pet')
  const column = listed.columns.find((it) => it.name === 'a_int')
  await tables.updateColumn(app.id, listed, column, { ...column, name: 'legs' })
  const read = await app.client().Data.of('Pet').findById(pet.objectId)
  assert.equal(read.legs, 3)
  await tables.deleteColumn(app.id, listed, { ...column, name: 'legs' })
  await tables.update(app.id, listed, { name: 'Animal' })
  assert.ok(!('legs' in (await app.client().Data.of('Animal').findById(pet.objectId))))
  await tables.remove(app.id, { name: 'Animal' })
  await refused(app.client().Data.of('Animal').find(), 1009)
})

test('u_5_5 a validator out of the list of the Console is kept by every door', async () => {
  const { settings, tables, users } = server.console
  const validators = await settings.getDataValidators()
  const ssn = validators.find((it) => it.name === 'US social security number')
  await tables.createColumn(app.id, { name: 'Users' }, { name: 'ssn', dataType: 'STRING', dataSize: 500 })
  const property = (await users.getUsersProps(app.id)).find((it) => it.name === 'ssn')
  const changed = await users.updateUsersProps(app.id, { ...property, customRegex: ssn.regex })
  assert.equal(changed.customRegex, ssn.regex)
  const client = app.client()
  await refused(client.Users.register(somebody({ ssn: '12-345' })), 8023)
  await refused(client.Data.of('Users').save({ email: anAddress(), password: aPassword(), ssn: 'x' }), 8023)
  assert.equal((await client.Users.register(somebody({ ssn: 'XXX-XX-XXXX' }))).ssn, 'XXX-XX-XXXX')
  await client.Users.loginAsGuest()
})

everyAnswerIsSound(server)
