/** U:C-01 to C-07: what a developer does first, through the official Console client. */
import { App, anAddress, aPassword, everyAnswerIsSound, refused, serverOfThisFile, unique } from './harness.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'

const server = await serverOfThisFile()

/** The seven kinds of keys, in the order in which the Console client puts them. */
const SYSTEM_KEYS = ['ANDROID', 'IOS', 'JS', 'REST', 'WP', 'AS', 'BL']

test('u_c01 a developer logs in and gets id, name and the key in a header', async () => {
  const { email, name, password } = server.developer
  const console = server.strangersConsole()

  const developer = await console.user.login(email, password)
  assert.equal(typeof developer.id, 'string')
  assert.ok(developer.id)
  assert.equal(developer.name, name)
  // In Node the client takes it from the header `auth-key`, and from nowhere else.
  assert.ok(developer.authKey.length >= 22, '128 bits or more')

  // The key works, for the client that has it and for another one that is given it.
  const account = await console.user.getAccountInfo()
  assert.equal(account.id, developer.id)
  assert.equal(account.email, email)
  assert.equal(account.authKey, developer.authKey, 'the client goes on with the key of this answer')
  const other = server.strangersConsole()
  assert.equal((await other.user.getAccountInfo(developer.authKey)).id, developer.id)
  await other.apps.getApps()

  // A second login makes a second key.
  const again = await server.strangersConsole().user.login(email, password)
  assert.notEqual(again.authKey, developer.authKey)
})

test('u_c01 a wrong password, a stranger and a dead key are refused, and logging out ends the key', async () => {
  const { email, password } = server.developer
  const console = server.strangersConsole()

  await refused(console.user.login(email, aPassword()), 9005, { status: 401 })
  await refused(console.user.login(anAddress(), password), 9005, { status: 401 })
  await refused(console.apps.getApps(), 9007, { status: 401 })
  await refused(console.user.getAccountInfo(unique()), 9007, { status: 401 })

  const { authKey } = await console.user.login(email, password)
  await console.apps.getApps()
  await console.user.logout()
  await refused(console.apps.getApps(), 9007, { status: 401 })
  await refused(server.strangersConsole().user.getAccountInfo(authKey), 9007, { status: 401 })
})

test('a developer changes the own name and password, and the other sessions end', async () => {
  const dag = { email: anAddress('dag'), password: aPassword() }
  await server.cli(['developer', 'add', '--email', dag.email, '--name', 'Dag', '--password-stdin'], dag.password)
  const [console, other] = [server.strangersConsole(), server.strangersConsole()]
  await console.user.login(dag.email, dag.password)
  await other.user.login(dag.email, dag.password)

  const account = await console.user.getAccountInfo()
  const renamed = await console.user.updateProfile({ ...account, name: 'Dagmar' })
  assert.deepEqual(renamed, { id: account.id, name: 'Dagmar', email: dag.email })
  assert.equal((await other.user.getAccountInfo()).name, 'Dagmar')

  const password = aPassword()
  await refused(console.user.updateProfile({ password, oldPassword: aPassword() }), 20060, { status: 400 })
  await refused(console.user.updateProfile({ password }), 20060, { status: 400 })
  await refused(console.user.updateProfile({ password: 'short', oldPassword: dag.password }), 8023, { status: 400 })
  await console.user.updateProfile({ password, oldPassword: dag.password })
  assert.equal((await console.user.getAccountInfo()).name, 'Dagmar')
  await refused(other.user.getAccountInfo(), 9007, { status: 401 })
  await refused(server.strangersConsole().user.login(dag.email, dag.password), 9005, { status: 401 })
  await server.strangersConsole().user.login(dag.email, password)
})

test('u_c02 the list of apps has id and name of each, and only the own ones', async () => {
  const console = await server.consoleClient()
  const one = await console.apps.createApp({ appName: unique('One '), refCode: null })
  const two = await console.apps.createApp({ appName: unique('Two '), refCode: null })

  const list = await console.apps.getApps()
  assert.ok(Array.isArray(list))
  for (const app of list) {
    assert.equal(typeof app.id, 'string')
    assert.equal(typeof app.name, 'string')
  }
  for (const made of [one, two]) {
    assert.equal(list.find(it => it.id === made.id)?.name, made.name)
  }
  // The client has an argument for a zone; the list is the same with it.
  assert.equal((await console.apps.getApps(1)).length, list.length)

  const eve = { email: anAddress('eve'), password: aPassword() }
  await server.cli(['developer', 'add', '--email', eve.email, '--name', 'Eve', '--password-stdin'], eve.password)
  const evesConsole = server.strangersConsole()
  await evesConsole.user.login(eve.email, eve.password)
  assert.deepEqual(await evesConsole.apps.getApps(), [])
  const mine = await evesConsole.apps.createApp({ appName: unique('Mine '), refCode: null })
  assert.deepEqual((await evesConsole.apps.getApps()).map(it => it.id), [mine.id])

  // Somebody else's app is neither read nor renamed nor deleted.
  for (const attempt of [
    () => evesConsole.settings.getAppSettings(one.id),
    () => evesConsole.users.getUsersLogin(one.id),
    () => evesConsole.apps.renameApp(one.id, 'Hers'),
    () => evesConsole.apps.deleteApp(one.id),
  ]) {
    const error = await attempt().then(() => assert.fail('a foreign app was touched'), it => it)
    assert.ok(error.status >= 400 && error.status < 500, `${error.status} ${error.message}`)
  }
  assert.equal((await console.apps.getApps()).find(it => it.id === one.id)?.name, one.name)
})

test('u_c03 an app is made from a name of 37 characters', async () => {
  const console = await server.consoleClient()
  const appName = unique('test_app_').padEnd(37, 'x').slice(0, 37)
  assert.equal(appName.length, 37)
  const app = await console.apps.createApp({ appName, refCode: null })
  assert.equal(typeof app.id, 'string')
  assert.equal(app.name, appName)
  assert.ok((await console.apps.getApps()).some(it => it.id === app.id && it.name === appName))

  const renamed = await console.apps.renameApp(app.id, unique('new '))
  assert.equal(renamed.id, app.id)
  assert.equal((await console.apps.getApps()).find(it => it.id === app.id).name, renamed.name)
})

test('u_c04 a new app has seven keys, JS and BL among them, each of its own', async () => {
  const console = await server.consoleClient()
  const app = await console.apps.createApp({ appName: unique('Keys '), refCode: null })
  const settings = await console.settings.getAppSettings(app.id)

  assert.equal(settings.appName, app.name)
  assert.deepEqual(settings.apiKeys.map(it => it.deviceType), SYSTEM_KEYS)
  for (const key of settings.apiKeys) {
    assert.equal(typeof key.apiKey, 'string')
    assert.ok(key.apiKey.length >= 32, 'a key is 128 bits or more, in text')
    assert.equal(settings.apiKeysMap[key.deviceType], key.apiKey)
    assert.equal(typeof key.id, 'string')
  }
  assert.equal(new Set(settings.apiKeys.map(it => it.apiKey)).size, 7)

  const other = await console.apps.createApp({ appName: unique('Keys '), refCode: null })
  const others = await console.settings.getAppSettings(other.id)
  const all = [...settings.apiKeys, ...others.apiKeys].map(it => it.apiKey)
  assert.equal(new Set(all).size, 14, 'no key is used twice')
})

test('u_c05 the new app answers its information to each of its keys, and nobody without one', async () => {
  const app = await server.newApp()
  for (const deviceType of SYSTEM_KEYS) {
    const info = await app.client(deviceType).appInfoPromise()
    assert.equal(info.appId, app.id)
    assert.equal(info.apiKey, app.keys[deviceType])
    assert.ok(Array.isArray(info.loggers))
    assert.equal(typeof info.rtURL, 'string')
  }

  const foreign = await server.newApp()
  const message = 'Version is disabled or provided wrong application info (application id or secret key)'
  for (const [id, keys] of [
    [app.id, foreign.keys],
    [app.id, { JS: unique() }],
    [unique(), app.keys],
  ]) {
    const stranger = new App(server, id, keys, []).client()
    await refused(stranger.appInfoPromise(), 2002, { status: 400, message })
  }
  // Letter case of id and key does not matter.
  const lower = new App(server, app.id.toLowerCase(), { JS: app.keys.JS.toLowerCase() }, [])
  assert.equal((await lower.client().appInfoPromise()).appId, app.id)
})

test('u_c06 a new app can be asked for its users at once and has none', async () => {
  const console = await server.consoleClient()
  const made = await console.apps.createApp({ appName: unique('Empty '), refCode: null })
  const { apiKeysMap } = await console.settings.getAppSettings(made.id)
  const app = new App(server, made.id, apiKeysMap, [])

  const users = app.client().Data.of('Users')
  assert.deepEqual(await users.find(), [])
  await app.register()
  assert.equal((await users.find()).length, 1)

  // Without a key that fits there is no list.
  const stranger = new App(server, made.id, { JS: unique() }, []).client()
  await refused(stranger.Data.of('Users').find(), 2002)
})

test('u_c07 apps are deleted while others are made and deleted', async () => {
  const console = await server.consoleClient()
  const stays = await server.newApp()
  const ann = await stays.register()

  const lives = Array.from({ length: 8 }, async () => {
    const app = await server.newApp()
    await app.register()
    await console.apps.deleteApp(app.id)
    return app
  })
  const gone = await Promise.all(lives)

  const list = await console.apps.getApps()
  assert.ok(list.some(it => it.id === stays.id))
  for (const app of gone) {
    assert.ok(!list.some(it => it.id === app.id))
    await refused(app.client().appInfoPromise(), 2002)
  }
  await stays.client().Users.login(ann.email, ann.password)

  // What is gone cannot be deleted again.
  const error = await console.apps.deleteApp(gone[0].id).then(() => assert.fail('deleted twice'), it => it)
  assert.ok(error.status >= 400 && error.status < 500, `${error.status} ${error.message}`)
})

everyAnswerIsSound(server)
