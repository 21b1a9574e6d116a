/** D:S-1 to S-8, C-1 to C-10, Q-2 to, P-1 to P-9, B-1 to B-7: objects of any table. */
import { aPassword, anAddress, everyAnswerIsSound, refused, serverOfThisFile } from './harness.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'

import Backendless from 'backendless'

const server = await serverOfThisFile()
const app = await server.newApp({ profile: 'compat' })
const client = app.client()
const { Data } = client
const { tables } = server.console

const COMMON = ['___class', 'created', 'objectId', 'ownerId', 'updated']
const keys = object => Object.keys(object).sort()
const query = () => Backendless.DataQueryBuilder.create()

/** A table of its own, with columns of these types. */
async function table(name, columns = {}) {
  const made = await tables.create(app.id, { name })
  for (const [column, dataType] of Object.entries(columns)) {
    await tables.createColumn(app.id, made, { name: column, dataType, dataSize: 500 })
  }
  return Data.of(name)
}

const notFound = table =>
  `Table not found by name 'Table not found by name '${table}'. Make sure the client class referenced in ` +
  "the API call has the same literal name as the table in Backendless console'"
const wrongType = name =>
  `Unable to save object - invalid data type for properties - ${name}. You can change the property type in developer console.`

test('d_s01 a new application has a table of users', async () => {
  assert.deepEqual(await (await server.newApp({ profile: 'compat' })).client().Data.of('Users').find(), [])
})

test('d_s02 d_s03 saving to an unknown table makes the table and its columns', async () => {
  const empty = await Data.of('Nothing').save({})
  assert.equal(typeof empty.objectId, 'string')
  const Grown = Data.of('Grown')
  const saved = await Grown.save({ name: 'test', age: 35, blocked: false })
  assert.deepEqual([saved.name, saved.age, saved.blocked], ['test', 35, false])
  await Grown.remove(saved)
  const kinds = Object.fromEntries((await client.Data.describe('Grown')).map(it => [it.name, it.type]))
  assert.deepEqual([kinds.name, kinds.age, kinds.blocked], ['STRING', 'DOUBLE', 'BOOLEAN'])
})

test('d_s04 words of SQL are names like others', async () => {
  for (const name of ['Order', 'Foo', 'Select', 'group']) {
    const saved = await Data.of(name).save({ order: 1, label: 'x', kind: true, select: 'y' })
    const [found] = await Data.of(name).find(query().setSortBy('order desc').setProperties(['label', 'kind', 'select']))
    assert.deepEqual({ ...found }, { label: 'x', kind: true, select: 'y', ___class: name })
    await Data.of(name).remove(saved.objectId)
  }
})

test('d_s05 d_s06 d_s08 a table is described as the Console made it, and an unknown one is not there', async () => {
  await table('Described', { a: 'STRING', b: 'INT', c: 'DOUBLE', d: 'DATETIME', e: 'BOOLEAN' })
  const described = await Data.describe('Described')
  assert.deepEqual(described.map(it => it.name).sort(), ['a', 'b', 'c', 'created', 'd', 'e', 'objectId', 'ownerId', 'updated'])
  const wanted = ['autoLoad', 'customRegex', 'defaultValue', 'expression', 'isPrimaryKey', 'name', 'relatedTable', 'required', 'type']
  for (const column of described) assert.deepEqual(keys(column), wanted)
  const Nowhere = Data.of('Nowhere')
  const asked = [() => Data.describe('Nowhere'), () => Nowhere.find(), () => Nowhere.findFirst(), () => Nowhere.findLast()]
  for (const ask of asked) {
    await refused(ask(), 1009, { status: 400, message: notFound('Nowhere') })
  }
})

test('d_s07 two applications with the same tables do not meet', async () => {
  const other = (await server.newApp({ profile: 'compat' })).client().Data.of('Same')
  await other.save({ whose: 1 })
  await Data.of('Same').save({ whose: 'mine' })
  assert.deepEqual((await other.find()).map(it => it.whose), [1])
  assert.deepEqual((await Data.of('Same').find()).map(it => it.whose), ['mine'])
})

test('d_c01 d_c02 d_c03 an object is saved without an id, and changed with it', async () => {
  const Person = Data.of('Person')
  const bob = await Person.save({ name: 'Bob', age: 20 })
  assert.deepEqual(keys(bob), [...COMMON, 'age', 'name'].sort())
  assert.equal(typeof bob.objectId, 'string')
  assert.ok(Number.isInteger(bob.created))
  assert.deepEqual([bob.updated, bob.ownerId, bob.___class, bob.name], [null, null, 'Person', 'Bob'])
  const older = await Person.save({ objectId: bob.objectId, age: 21 })
  assert.ok(Number.isInteger(older.updated))
  assert.deepEqual([older.name, older.age, older.created], ['Bob', 21, bob.created])
  const again = await Person.save({ name: 'Bob', age: 20 })
  assert.notEqual(again.objectId, bob.objectId)
  const ann = await app.register()
  const owner = app.client()
  const logged = await owner.Users.login(ann.email, ann.password)
  assert.equal((await owner.Data.of('Person').save({ name: 'x' })).ownerId, logged.objectId)
})

test('d_c04 an upsert adds with the id that it brings, and then changes', async () => {
  const Upserted = Data.of('Upserted')
  const made = await Upserted.save({ objectId: 'non-existed', name: 'Bob', age: 20 }, true)
  assert.equal(made.objectId, 'non-existed')
  const changed = await Upserted.save({ ...made, age: 21 }, true)
  assert.deepEqual([changed.objectId, changed.name, changed.age], ['non-existed', 'Bob', 21])
  assert.equal(changed.created, made.created)
  assert.equal(await Upserted.getObjectCount(), 1)
})

test('d_c05 d_c06 what is deleted or never was is not found', async () => {
  const Gone = Data.of('Gone')
  const one = await Gone.save({ a: 1 })
  const { deletionTime, ...rest } = await Gone.remove(one)
  assert.ok(Number.isInteger(deletionTime))
  assert.deepEqual(rest, {})
  await refused(Gone.findById(one.objectId), 1000, { message: `Entity with ID ${one.objectId} not found` })
  await refused(Gone.findById('NonExistingObjectId'), 1000, { message: 'Entity with ID NonExistingObjectId not found' })
  await refused(Gone.remove(one), 1000, { message: `Entity with ID ${one.objectId} not found` })
  await refused(Gone.remove(123), 1000)
  const odd = await Gone.save({ objectId: 'x y/z' }, true)
  assert.equal((await Gone.findById('x y/z')).objectId, odd.objectId)
  assert.equal((await Gone.findById({ objectId: 'x y/z' })).objectId, odd.objectId)
})

test('d_c07 d_c08 wrong types are refused with their words, and the row is as it was', async () => {
  const Typed = await table('Typed', { int: 'INT', double: 'DOUBLE', boolean: 'BOOLEAN', datetime: 'DATETIME' })
  const now = Date.now()
  const row = await Typed.save({ int: 1, double: 1.5, boolean: true, datetime: now })
  assert.deepEqual([row.int, row.double, row.boolean, row.datetime], [1, 1.5, true, now])
  for (const name of ['int', 'double', 'boolean']) {
    await refused(Typed.save({ objectId: row.objectId, [name]: 'string' }), 1007, { message: wrongType(name) })
  }
  const message = 'Invalid date format for property datetime'
  await refused(Typed.save({ objectId: row.objectId, datetime: 'string' }), 1110, { message })
  assert.deepEqual(await Typed.findById(row.objectId), row)
})

test('d_c09 d_c10 users are saved through their table, and no answer has a password', async () => {
  const Users = Data.of('Users')
  const ann = { email: anAddress(), name: 'Ann', password: aPassword() }
  const saved = await Users.save(ann)
  assert.deepEqual([saved.email, saved.name, saved.___class], [ann.email, 'Ann', 'Users'])
  assert.ok(!('password' in saved))
  const people = ['Bob', 'Cid', undefined].map(name => ({ email: anAddress(), password: aPassword(), ...(name && { name }) }))
  const ids = await Users.bulkCreate(people)
  const found = await Users.find(query().setPageSize(100).setSortBy('created'))
  assert.deepEqual(found.slice(-3).map(it => [it.objectId, it.email]), people.map((it, at) => [ids[at], it.email]))
  for (const user of found) assert.ok(!('password' in user))
  assert.equal((await app.client().Users.login(people[1].email, people[1].password)).objectId, ids[1])
})

test('d_q02 to d_q05 pages, offsets and numeric order', async () => {
  const Counted = Data.of('Counted')
  await Counted.bulkCreate(Array.from({ length: 120 }, (_, at) => ({ counter: at + 1 })))
  const counters = async it => (await Counted.find(it)).map(row => row.counter)
  const range = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => from + at)
  assert.deepEqual(await counters(query().setSortBy('counter')), range(1, 10))
  assert.deepEqual(await counters(query().setSortBy('counter').setOffset(10)), range(11, 20))
  assert.deepEqual(await counters(query().setSortBy(['counter asc']).setPageSize(100)), range(1, 100))
  assert.deepEqual(await counters(query().setSortBy('counter desc').setPageSize(3)), [120, 119, 118])
  assert.deepEqual(await counters(query().setOffset(500)), [])
  assert.equal(await Counted.getObjectCount(), 120)
})

test('d_q06 d_q07 d_q11 the first and the last, by the order of saving or one of their own', async () => {
  const Ordered = Data.of('Ordered')
  await Ordered.bulkCreate([{ n: 2 }, { n: 3 }, { n: 1 }])
  assert.equal((await Ordered.findFirst()).n, 2)
  assert.equal((await Ordered.findLast()).n, 1)
  assert.equal((await Ordered.findFirst(query().setSortBy('n'))).n, 1)
  assert.equal((await Ordered.findLast(query().setSortBy('n'))).n, 1)
  const nothing = query().setSortBy('').setWhereClause('').setProperties([]).setGroupBy('')
  assert.equal((await Ordered.find(nothing)).length, 3)
})

test('d_p01 to d_p07 d_q12 an answer has the properties that were asked for', async () => {
  const Person = Data.of('Selected')
  await Person.save({ name: 'Bob', age: 20, blocked: true })
  const shown = async it => keys((await Person.find(it))[0])
  const all = [...COMMON, 'age', 'blocked', 'name'].sort()
  assert.deepEqual(await shown(query()), all)
  assert.deepEqual(await shown(query().setProperties(['name', 'age', 'name'])), ['___class', 'age', 'name'])
  assert.deepEqual(await shown(query().excludeProperties(['name', 'age'])), all.filter(it => it !== 'name' && it !== 'age'))
  const but = ['name', 'age', 'blocked', 'created', 'updated', 'ownerId']
  assert.deepEqual(await shown(query().excludeProperties(but)), ['___class', 'objectId'])
  assert.deepEqual(await shown(query().setProperties(['age as Age', 'blocked as Blocked'])), ['Age', 'Blocked', '___class'])
  const more = () => query().setProperties(['age as Age', 'blocked as Blocked', '*'])
  assert.deepEqual(await shown(more()), ['Age', 'Blocked', ...all].sort())
  for (const row of [await Person.findFirst(more()), await Person.findLast(more())]) {
    assert.deepEqual(keys(row), ['Age', 'Blocked', ...all].sort())
    assert.deepEqual([row.Age, row.age, row.Blocked], [20, 20, true])
  }
  const message = "Column 'nothing' does not exist in table 'Selected'"
  await refused(Person.find(query().setProperties(['nothing'])), 1006, { message })
  const hidden = "Column 'password' does not exist in table 'Users'"
  await refused(Data.of('Users').find(query().setProperties(['password'])), 1006, { message: hidden })
  await refused(Data.of('Users').find(query().setSortBy('password')), 1006, { message: hidden })
})

test('d_p08 distinct gives each combination once', async () => {
  const Person = Data.of('Distinct')
  await Person.bulkCreate([{ name: 'a', age: 1 }, { name: 'b', age: 1 }, { name: 'a', age: 1 }, { name: 'a', age: 2 }])
  const found = await Person.find(query().setProperties(['name']).setDistinct(true))
  assert.deepEqual(found.map(it => ({ ...it })), [{ name: 'a', ___class: 'Distinct' }, { name: 'b', ___class: 'Distinct' }])
  assert.equal((await Person.find(query().setProperties(['name', 'age']).setDistinct(true))).length, 3)
  assert.equal((await Person.find(query().setProperties(['name']).setDistinct(false))).length, 4)
})

test('d_p09 objectId comes along with props where the application says so', async () => {
  const own = await server.newApp({ profile: 'compat' })
  const Person = own.client().Data.of('Person')
  await Person.save({ name: 'Bob' })
  const shown = async () => keys((await Person.find(query().setProperties(['name'])))[0])
  assert.deepEqual(await shown(), ['___class', 'name'])
  await tables.setConfigs(own.id, { includeObjectIdByDefault: true })
  assert.deepEqual(await shown(), ['___class', 'name', 'objectId'])
})

test('d_b01 d_b07 a list is added in its order, all of it or nothing', async () => {
  const Listed = Data.of('Listed')
  const ids = await Listed.bulkCreate([{ n: 1 }, {}, { n: 3 }])
  assert.equal(ids.length, 3)
  const found = await Listed.find(query().setSortBy('created'))
  assert.deepEqual(found.map(it => it.objectId), ids)
  const error = await refused(Listed.bulkCreate([{ n: 4 }, { n: 'x' }]), 1007, { message: wrongType('n') })
  assert.equal(await Listed.getObjectCount(), 3, error.message)
  await refused(Listed.bulkCreate(Array.from({ length: 1001 }, () => ({}))), 8044)
})

test('d_b02 an upsert of a list adds and changes', async () => {
  const Listed = Data.of('Mixed')
  const ids = await Listed.bulkUpsert([{ objectId: 'a', n: 1 }, { n: 2 }, {}])
  assert.equal(ids[0], 'a')
  const rows = await Listed.find(query().setSortBy('created'))
  assert.deepEqual(rows.map(it => it.updated), [null, null, null])
  const again = await Listed.bulkUpsert([...rows.map(it => ({ ...it, n: 7 })), { objectId: 'b', n: 8 }])
  assert.deepEqual(again, [...ids, 'b'])
  const after = await Listed.find(query().setSortBy('created'))
  assert.deepEqual(after.map(it => it.n), [7, 7, 7, 8])
  assert.deepEqual(after.map(it => Number.isInteger(it.updated)), [true, true, true, false])
})

test('d_b03 to d_b06 ids and everything are changed and deleted', async () => {
  const Bulk = Data.of('Bulk')
  const ids = await Bulk.bulkCreate(['a', 'b', 'c', 'd'].map(objectId => ({ objectId, n: 1 })))
  assert.deepEqual(ids, ['a', 'b', 'c', 'd'])
  assert.equal(await Bulk.bulkUpdate("objectId in ('a','c','no')", { n: 2 }), 2)
  const found = await Bulk.find(query().setSortBy('objectId'))
  assert.deepEqual(found.map(it => it.n), [2, 1, 2, 1])
  assert.equal(await Bulk.bulkDelete(['no']), 0)
  assert.equal(await Bulk.bulkDelete(['a', found[1]]), 2)
  assert.equal(await Bulk.bulkDelete('1=1'), 2)
  assert.deepEqual(await Bulk.bulkCreate([{ objectId: 'a' }]), ['a'])
  assert.equal(await Bulk.bulkDelete('objectId is not null'), 1)
})

test('d_1_6 the Console client reads, changes and deletes records', async () => {
  await table('Records', { n: 'INT' })
  const of = (await tables.get(app.id)).tables.find(it => it.name === 'Records')
  const made = await tables.createRecord(app.id, of, { n: 1 })
  await tables.bulkCreateRecords(app.id, 'Records', [{ objectId: 'a', n: 2 }, { objectId: 'b', n: 3 }])
  assert.deepEqual(await tables.bulkUpsertRecords(app.id, 'Records', [{ objectId: 'a', n: 5 }]), ['a'])
  assert.equal((await tables.updateRecord(app.id, of, { ...made, n: 7 })).n, 7)
  assert.equal(await tables.getCellData(app.id, 'Records', 'a', 'n'), 5)
  const read = await tables.loadRecords(app.id, of, { sortField: 'n', sortDir: 'desc' })
  assert.deepEqual([read.totalRows, read.data.length], [3, 3])
  assert.deepEqual(await tables.getRecordsCountForTables(app.id, ['Records', 'Users'], null, false), {
    Records: 3,
    Users: await Data.of('Users').getObjectCount(),
  })
  await tables.deleteRecords(app.id, of, ['a', 'no'])
  assert.equal(await Data.of('Records').getObjectCount(), 2)
  await tables.deleteRecords(app.id, of)
  assert.equal(await Data.of('Records').getObjectCount(), 0)
})

everyAnswerIsSound(server)
