/** D:Q-1, Q-8 to Q-10, P-6, B-3, B-4 and D:3.9: conditions over a table's own columns, and what is calculated. */
import { everyAnswerIsSound, refused, serverOfThisFile } from './harness.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'

import Backendless from 'backendless'

const server = await serverOfThisFile()
const app = await server.newApp({ profile: 'compat' })
const { Data } = app.client()
const { tables } = server.console

const query = () => Backendless.DataQueryBuilder.create()

/** The values of one column of the rows that a condition means, in the order of the values. */
async function found(table, clause, column = 'name') {
  const rows = await Data.of(table).find(query().setWhereClause(clause).setSortBy(column).setPageSize(100))
  return rows.map(it => it[column])
}

const made = await tables.create(app.id, { name: 'Person' })
const columns = { name: 'STRING', age: 'INT', height: 'DOUBLE', joined: 'DATETIME', active: 'BOOLEAN', profile: 'JSON' }
for (const [name, dataType] of Object.entries(columns)) {
  await tables.createColumn(app.id, made, { name, dataType, dataSize: 500 })
}
await Data.of('Person').bulkCreate([
  { name: 'Ann', age: 35, height: 1.75, joined: Date.UTC(2015, 2, 24, 10), active: true,
    profile: { age: 31, address: { city: 'New York' }, colors: ['Blue', 'Red'] } },
  { name: 'Bob', age: 15, height: 1.5, joined: Date.UTC(2015, 2, 22, 23, 59, 59), active: false,
    profile: { age: '31', address: { city: 'Rome' } } },
  { name: "O'Brien", age: 65, joined: Date.UTC(2015, 2, 23, 0, 0, 1), active: true },
  { name: 'Zoë', age: 18 },
])

test('d_q01 LIKE finds what contains a text', async () => {
  const Found = Data.of('Found')
  for (const firstName of ['find-where-foo', 'a find-where-bar b', 'FIND-WHERE-BAR', 'find-where']) await Found.save({ firstName })
  assert.deepEqual(await found('Found', "firstName like '%find-where-bar%'", 'firstName'), ['FIND-WHERE-BAR', 'a find-where-bar b'])
})

test('d_3_9 conditions mean what the examples say', async () => {
  for (const [clause, expected] of [
    ["name = 'Ann'", 'Ann'],
    ["name != 'Ann'", "Bob O'Brien Zoë"],
    ["name = 'O''Brien'", "O'Brien"],
    ["name LIKE 'A%' and age > 20", 'Ann'],
    ["name LIKE '%n'", "Ann O'Brien"],
    ["name LIKE 'ZOË'", 'Zoë'],
    ["name IN ('Ann','Bob','Cid')", 'Ann Bob'],
    ['age BETWEEN 18 AND 65', "Ann O'Brien Zoë"],
    ['active = true', "Ann O'Brien"],
    ['active is null', 'Zoë'],
    ['height != NULL', 'Ann Bob'],
    ['not (active = true or age < 18)', ''],
    ["`name` like '%5%' or `age` like '%5%'", "Ann Bob O'Brien"],
    ["joined > '03/23/2015'", "Ann O'Brien"],
    ['joined after 1427068800000', "Ann O'Brien"],
    ["joined at or after '03/24/2015 08:00:00 GMT-0200'", 'Ann'],
    ['YEAR(NOW())-YEAR(joined) > 2', "Ann Bob O'Brien"],
    ["joined before DATESUB(NOW(), 1, 'day')", "Ann Bob O'Brien"],
    ["profile->'$.age' > 30", 'Ann'],
    ["profile->'$.address.city' = 'New York'", 'Ann'],
    ["profile->'$.colors[0]' = 'Blue'", 'Ann'],
    ['1=1', "Ann Bob O'Brien Zoë"],
  ]) {
    assert.equal((await found('Person', clause)).join(' '), expected, clause)
  }
})

test('d_q08 a count is a bare number', async () => {
  await Data.of('Counted').bulkCreate(Array.from({ length: 100 }, (_, index) => ({ counter: index + 1 })))
  assert.equal(await Data.of('Counted').getObjectCount(query().setWhereClause('counter <= 50')), 50)
  assert.equal(await Data.of('Counted').getObjectCount('counter > 99.5'), 1)
  assert.equal(await Data.of('Counted').getObjectCount(), 100)
})

test('d_q09 d_q10 long values and long lists are answered', async () => {
  assert.deepEqual(await found('Person', `name = '${'x'.repeat(3000)}'`), [])
  const ids = await Data.of('Many').bulkCreate(Array.from({ length: 1000 }, (_, n) => ({ n })))
  const clause = `objectId in (${ids.map(it => `'${it}'`).join(',')})`
  assert.equal(await Data.of('Many').getObjectCount(clause), 1000)
})

test('d_p06 functions and aliases are shown beside all columns', async () => {
  const shown = query().setWhereClause("name = 'Ann'").addAllProperties().excludeProperty('name').addProperty('TIME(created)')
  const [ann] = await Data.of('Person').find(shown)
  assert.equal(typeof ann.Time, 'string')
  assert.equal(typeof ann.created, 'number')
  assert.equal('name' in ann, false)
  const [twice] = await Data.of('Person').find(query().setWhereClause("name = 'Ann'").setProperties('age * 2 as twice'))
  assert.deepEqual({ ...twice }, { twice: 70, ___class: 'Person' })
})

test('d_b03 d_b04 rows that meet a condition are changed and deleted, and counted', async () => {
  const Bulk = Data.of('Bulk')
  await Bulk.bulkCreate([1, 2, 3, 4, 5].map(n => ({ n, word: 'old' })))
  assert.equal(await Bulk.bulkUpdate('n > 3', { word: 'new' }), 2)
  assert.deepEqual(await found('Bulk', "word = 'new'", 'n'), [4, 5])
  assert.equal(await Bulk.bulkDelete('n in (1, 2, 9)'), 2)
  assert.equal(await Bulk.bulkDelete('n > 100'), 0)
  assert.deepEqual(await found('Bulk', '', 'n'), [3, 4, 5])
})

test('d_3_8 a condition that cannot be read, or names what is not there, is refused', async () => {
  for (const [clause, code] of [
    ["name = 'Ann", 1017],
    ["age = 'x'", 1017],
    ['objectId!=NULL)', 1017],
    ['nothing = 1', 1006],
  ]) {
    await refused(Data.of('Person').find(query().setWhereClause(clause)), code, { status: 400 })
  }
  const missing = Data.of('Users').find(query().setWhereClause("password = 'x'"))
  await refused(missing, 1006, { status: 400, message: "Column 'password' does not exist in table 'Users'" })
})

everyAnswerIsSound(server)
