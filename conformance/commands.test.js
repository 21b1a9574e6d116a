/** Apps and developers made on the command line, for the clients to use at once. */
import { anAddress, aPassword, everyAnswerIsSound, refused, serverOfThisFile, unique } from './harness.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'

const server = await serverOfThisFile()

for (const profile of ['compat', 'standard']) {
  test(`an app made on the command line as ${profile} registers, logs in and validates`, async () => {
    const app = await server.newApp({ profile })
    const ann = await app.register({ name: 'Ann' })
    assert.equal(ann.user.email, ann.email)
    const client = app.client()
    assert.equal((await client.Users.login(ann.email, ann.password)).objectId, ann.objectId)
    assert.equal(await client.Users.isValidLogin(), true)
    assert.equal((await client.Users.getCurrentUser(true)).name, 'Ann')
    await client.Users.logout()
    assert.equal(await app.client().Users.isValidLogin(), false)
    await refused(client.Users.login(ann.email, aPassword()), 3003, { status: 401 })
    assert.equal((await app.client('BL').Users.login(ann.objectId)).objectId, ann.objectId)
  })
}

test('the command prints one line with the seven keys, and the owner has the app in the Console', async () => {
  const name = unique('Line ')
  const args = ['app', 'create', '--name', name, '--owner', server.developer.email, '--profile', 'compat', '--json']
  const printed = await server.cli(args)
  assert.equal(printed.trimEnd().split('\n').length, 1)
  const made = JSON.parse(printed)
  assert.deepEqual(Object.keys(made).sort(), ['apiKeys', 'id', 'name', 'profile'])
  assert.equal(made.name, name)
  assert.equal(made.profile, 'compat')
  assert.deepEqual(Object.keys(made.apiKeys).sort(), ['ANDROID', 'AS', 'BL', 'IOS', 'JS', 'REST', 'WP'])

  const console = await server.consoleClient()
  assert.ok((await console.apps.getApps()).some(it => it.id === made.id && it.name === name))
  const { apiKeysMap } = await console.settings.getAppSettings(made.id)
  assert.deepEqual(apiKeysMap, made.apiKeys)
})

test('a standard app keeps what is one user’s from the others, a compat app shows it', async () => {
  for (const profile of ['compat', 'standard']) {
    const app = await server.newApp({ profile })
    const ann = await app.register()
    const bob = await app.register()
    const bobs = app.client()
    await bobs.Users.login(bob.email, bob.password)
    assert.equal((await bobs.Data.of('Users').findById(bob.objectId)).objectId, bob.objectId)
    const reading = bobs.Data.of('Users').findById(ann.objectId).then(it => it.objectId, it => it)
    const listing = app.client().Data.of('Users').find().then(it => it.length, it => it)
    if (profile === 'compat') {
      assert.equal(await reading, ann.objectId)
      assert.equal(await listing, 2)
    } else {
      const isRefusal = it => it.status >= 400 && it.status < 500
      assert.ok(isRefusal(await reading), `Bob reads Ann: ${await reading}`)
      // A stranger's list is refused, or has nobody in it.
      assert.ok((await listing) === 0 || isRefusal(await listing), `a stranger lists: ${await listing}`)
    }
  }
})

test('a developer whose password is too short is refused', async () => {
  const args = ['developer', 'add', '--email', anAddress('eve'), '--name', 'Eve', '--password-stdin']
  await assert.rejects(server.cli(args, 'correct horse'))
  await server.cli(args, aPassword())
})

test('without a running server developers and apps are made too, and are there after the start', async () => {
  const eve = { email: anAddress('eve'), password: aPassword() }
  await server.kill9()
  await server.cli(['developer', 'add', '--email', eve.email, '--name', 'Eve', '--password-stdin'], eve.password)
  const args = ['app', 'create', '--name', unique('Offline '), '--owner', eve.email, '--profile', 'compat', '--json']
  const made = JSON.parse(await server.cli(args))
  await server.restart()

  const console = server.strangersConsole()
  await console.user.login(eve.email, eve.password)
  assert.deepEqual((await console.apps.getApps()).map(it => it.id), [made.id])
  const { apiKeysMap } = await console.settings.getAppSettings(made.id)
  assert.equal(apiKeysMap.JS, made.apiKeys.JS)
})

everyAnswerIsSound(server)
