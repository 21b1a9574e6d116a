/** U: server code disables and enables users, nobody else does. */
import { everyAnswerIsSound, refused, serverOfThisFile, unique } from './harness.js'

import assert from 'node:assert/strict'
import { test } from 'node:test'

import Backendless from 'backendless'

const server = await serverOfThisFile()
const app = await server.newApp()

/** The status of a user as server code without a session reads it. */
async function statusOf(objectId) {
  const user = await app.client('BL').Data.of(Backendless.User).findById(objectId)
  assert.equal(user.objectId, objectId)
  return user.userStatus
}

test('u_r36 server code logged in as Ann disables her, logs out and enables her again', async () => {
  const ann = await app.register()
  const serverCode = app.client('BL')
  await serverCode.Users.login(ann.objectId)
  assert.equal(await statusOf(ann.objectId), 'ENABLED')

  await serverCode.Users.disableUser(ann.objectId)
  await serverCode.Users.logout()
  assert.equal(await serverCode.Users.getCurrentUser(), null)
  assert.equal(await statusOf(ann.objectId), 'DISABLED')
  await refused(app.client().Users.login(ann.email, ann.password), 3090)
  await refused(app.client('BL').Users.login(ann.objectId), 3090)

  await serverCode.Users.enableUser(ann.objectId)
  assert.equal(await statusOf(ann.objectId), 'ENABLED')
  assert.equal((await app.client().Users.login(ann.email, ann.password)).objectId, ann.objectId)
})

test('u_r36 a disabled user is refused at once, and the old session does not come back', async () => {
  const ann = await app.register()
  const bob = await app.register()
  const anns = app.client()
  const bobs = app.client()
  await anns.Users.login(ann.email, ann.password)
  await bobs.Users.login(bob.email, bob.password)
  await anns.Users.getCurrentUser(true)

  const serverCode = app.client('BL')
  await serverCode.Users.disableUser(ann.objectId)
  await refused(anns.Users.getCurrentUser(true), 3090)
  assert.equal(await anns.Users.isValidLogin(), false)
  assert.equal((await bobs.Users.getCurrentUser(true)).objectId, bob.objectId)

  await serverCode.Users.enableUser(ann.objectId)
  assert.equal(await anns.Users.isValidLogin(), false)
  const again = app.client()
  await again.Users.login(ann.email, ann.password)
  assert.equal(await again.Users.isValidLogin(), true)
})

test('u_r37 no other key changes a status', async () => {
  const ann = await app.register()
  const message = 'Operation allowed only for BL logic.'
  for (const deviceType of ['JS', 'REST', 'IOS', 'ANDROID', 'WP', 'AS']) {
    const { Users } = app.client(deviceType)
    await refused(Users.disableUser(ann.objectId), 3054, { status: 400, message })
    await refused(Users.enableUser(ann.objectId), 3054, { status: 400, message })
  }
  // Not even Ann herself.
  const client = app.client()
  await client.Users.login(ann.email, ann.password)
  await refused(client.Users.disableUser(ann.objectId), 3054, { message })
  assert.equal(await statusOf(ann.objectId), 'ENABLED')
  assert.equal(await client.Users.isValidLogin(), true)
})

test('u_r37 server code sets no status that does not exist, and none of a user who does not exist', async () => {
  const ann = await app.register()
  const { Users } = app.client('BL')
  for (const word of ['GUEST', 'enabled', 'GONE']) {
    const error = await Users.updateUserStatus(ann.objectId, word).then(() => assert.fail(word), it => it)
    assert.equal(error.status, 400, `${word}: ${error.message}`)
  }
  const error = await Users.disableUser(unique()).then(() => assert.fail('a stranger'), it => it)
  assert.equal(error.status, 400, error.message)
  assert.equal(await statusOf(ann.objectId), 'ENABLED')
})

everyAnswerIsSound(server)
