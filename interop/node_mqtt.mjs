// Checks with npm's mqtt, for MQTT 3.1, 3.1.1 and 5.0.
//
//   node node_mqtt.mjs --program PATH      starts and stops the built opifex
//   node node_mqtt.mjs --address HOST:PORT takes a broker that runs
//
// The package is looked up in the folder that NODE_MODULES names: none is installed next to this file.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const mqtt = createRequire(`${process.env.NODE_MODULES ?? process.cwd()}/`)('mqtt')

const VERSIONS = {
  '3.1': { protocolId: 'MQIsdp', protocolVersion: 3 },
  '3.1.1': { protocolId: 'MQTT', protocolVersion: 4 },
  '5.0': { protocolId: 'MQTT', protocolVersion: 5 },
}
const PATIENCE_MS = 15_000
let names = 0

function withPatience(promise, what) {
  let timer
  const patience = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${PATIENCE_MS} ms`)), PATIENCE_MS)
  })
  return Promise.race([promise, patience]).finally(() => clearTimeout(timer))
}

/** A client that keeps what it has received until a check asks for it. */
class Peer {
  constructor(url, version, options = {}) {
    this.received = []
    this.waiting = []
    this.client = mqtt.connect(url, {
      ...VERSIONS[version],
      clientId: `node-${names++}`,
      reconnectPeriod: 0,
      connectTimeout: PATIENCE_MS,
      ...options,
    })
    this.client.on('error', () => {})
    this.client.on('message', (topic, payload, packet) => {
      const message = { ...packet, topic, payload, text: payload.toString() }
      const waiting = this.waiting.shift()
      if (waiting) waiting(message)
      else this.received.push(message)
    })
  }

  static async connect(url, version, options) {
    const peer = new Peer(url, version, options)
    peer.connack = await withPatience(
      Promise.race([
        once(peer.client, 'connect').then(([connack]) => connack),
        once(peer.client, 'close').then(() => {
          throw new Error('the connection was refused')
        }),
      ]),
      'CONNACK',
    )
    return peer
  }

  async subscribe(topic, qos = 0, options = {}) {
    const [granted] = await withPatience(this.client.subscribeAsync(topic, { qos, ...options }), `SUBACK of ${topic}`)
    return granted
  }

  unsubscribe(topic) {
    return withPatience(this.client.unsubscribeAsync(topic), `UNSUBACK of ${topic}`)
  }

  publish(topic, payload, qos = 0, options = {}) {
    return withPatience(this.client.publishAsync(topic, payload, { qos, ...options }), `acknowledgement of ${topic}`)
  }

  receive() {
    const next = this.received.shift()
    if (next) return Promise.resolve(next)
    return withPatience(new Promise((resolve) => this.waiting.push(resolve)), 'a message')
  }

  /** Nothing has come but a message that was sent after whatever could have come. */
  async expectNothing(fence) {
    const topic = `fence/${names++}`
    await this.subscribe(topic, 1)
    await fence.publish(topic, 'fence', 1)
    const message = await this.receive()
    assert.equal(message.topic, topic, `unexpected: ${message.topic} ${message.text}`)
  }

  end() {
    return withPatience(this.client.endAsync(), 'the end')
  }

  /** Ends the connection without DISCONNECT. */
  async breakOff() {
    const closed = once(this.client, 'close')
    this.client.stream.destroy()
    await withPatience(closed, 'the end')
  }
}

function* checks(url) {
  const connect = (version, options) => Peer.connect(url, version, options)
  const endAll = (...peers) => Promise.all(peers.map((peer) => peer.end()))
  const lasting = (version, clientId) => ({
    clientId,
    clean: false,
    ...(version === '5.0' ? { properties: { sessionExpiryInterval: 300 } } : {}),
  })

  async function delivery(version, publishQos, subscribeQos) {
    const topic = `node/delivery/${version}/${publishQos}/${subscribeQos}`
    const [publisher, subscriber] = [await connect(version), await connect(version)]
    assert.equal((await subscriber.subscribe(topic, subscribeQos)).qos, subscribeQos)
    for (let index = 0; index < 20; index++) await publisher.publish(topic, `message ${index}`, publishQos)
    for (let index = 0; index < 20; index++) {
      const message = await subscriber.receive()
      assert.equal(message.text, `message ${index}`)
      assert.equal(message.qos, Math.min(publishQos, subscribeQos))
      assert.equal(message.retain, false)
    }
    await endAll(publisher, subscriber)
  }

  async function burst(version, qos) {
    const topic = `node/burst/${version}/${qos}`
    const [publisher, subscriber] = [await connect(version), await connect(version)]
    await subscriber.subscribe(topic, qos)
    const published = []
    for (let index = 0; index < 500; index++) published.push(publisher.publish(topic, `${index}`, qos))
    await Promise.all(published)
    for (let index = 0; index < 500; index++) assert.equal((await subscriber.receive()).text, `${index}`)
    await endAll(publisher, subscriber)
  }

  async function large(version) {
    const [publisher, subscriber] = [await connect(version), await connect(version)]
    await subscriber.subscribe(`node/large/${version}`, 1)
    const payload = Buffer.alloc(1 << 20, 'large')
    await publisher.publish(`node/large/${version}`, payload, 1)
    assert.ok(payload.equals((await subscriber.receive()).payload))
    await endAll(publisher, subscriber)
  }

  async function wildcards(version) {
    const [publisher, subscriber] = [await connect(version), await connect(version)]
    await subscriber.subscribe(`node/wild/${version}/+/x`, 1)
    await publisher.publish(`node/wild/${version}/a/y`, 'no', 1)
    await publisher.publish(`node/wild/${version}/a/x`, 'yes', 1)
    assert.equal((await subscriber.receive()).text, 'yes')
    await subscriber.unsubscribe(`node/wild/${version}/+/x`)
    await publisher.publish(`node/wild/${version}/a/x`, 'unsubscribed', 1)
    await subscriber.expectNothing(publisher)
    await endAll(publisher, subscriber)
  }

  async function retained(version, qos) {
    const topic = `node/retained/${version}/${qos}`
    const publisher = await connect(version)
    await publisher.publish(topic, 'kept', qos, { retain: true })
    // Nobody acknowledges QoS 0; what is acknowledged behind it on the same connection says that it has arrived.
    await publisher.publish('node/fence', '', 1)
    const subscriber = await connect(version)
    await subscriber.subscribe(`node/retained/${version}/${qos}`, 2)
    const message = await subscriber.receive()
    assert.deepEqual([message.text, message.retain, message.qos], ['kept', true, qos])
    await publisher.publish(topic, '', 1, { retain: true })
    assert.equal((await subscriber.receive()).text, '')
    const later = await connect(version)
    await later.subscribe(topic, 2)
    await later.expectNothing(publisher)
    await endAll(publisher, subscriber, later)
  }

  async function will(version, qos) {
    const topic = `node/will/${version}/${qos}`
    const subscriber = await connect(version)
    await subscriber.subscribe(topic, 2)
    const options = { will: { topic, payload: Buffer.from('gone'), qos, retain: false } }
    await (await connect(version, options)).breakOff()
    const message = await subscriber.receive()
    assert.deepEqual([message.text, message.qos], ['gone', qos])
    await (await connect(version, options)).end()
    const fence = await connect(version)
    await subscriber.expectNothing(fence)
    await endAll(subscriber, fence)
  }

  async function resume(version, qos) {
    const topic = `node/resume/${version}/${qos}`
    const options = lasting(version, `node-resume-${version}-${qos}`)
    const before = await connect(version, options)
    assert.equal(before.connack.sessionPresent, false)
    await before.subscribe(topic, qos)
    await before.end()
    const publisher = await connect(version)
    for (let index = 0; index < 50; index++) await publisher.publish(topic, `message ${index}`, qos)
    const after = await connect(version, options)
    if (version !== '3.1') assert.equal(after.connack.sessionPresent, true)
    for (let index = 0; index < 50; index++) {
      const message = await after.receive()
      assert.deepEqual([message.text, message.qos], [`message ${index}`, qos])
    }
    await after.end()
    const fresh = await connect(version, { clientId: options.clientId, clean: true })
    assert.equal(fresh.connack.sessionPresent, false)
    await endAll(publisher, fresh)
  }

  async function shared(version) {
    const topic = `node/shared/${version}`
    const members = [await connect(version), await connect(version)]
    const publisher = await connect(version)
    for (const member of members) await member.subscribe(`$share/group/${topic}`, 1)
    const expected = []
    for (let index = 0; index < 40; index++) {
      expected.push(`message ${index}`)
      await publisher.publish(topic, `message ${index}`, 1)
    }
    const shares = members.map(() => [])
    const drain = () => members.forEach((member, index) => shares[index].push(...member.received.splice(0).map((m) => m.text)))
    const deadline = Date.now() + PATIENCE_MS
    for (drain(); shares.flat().length < 40 && Date.now() < deadline; drain()) await new Promise((r) => setTimeout(r, 10))
    assert.deepEqual(shares.flat().sort(), expected.sort())
    assert.ok(shares.every((share) => share.length > 0), `${shares.map((share) => share.length)}`)
    await endAll(publisher, ...members)
  }

  async function v5Properties() {
    const [publisher, subscriber] = [await connect('5.0'), await connect('5.0')]
    await subscriber.subscribe('node/v5/properties', 2, { properties: { subscriptionIdentifier: 268435455 } })
    await publisher.publish('node/v5/properties', 'text', 2, {
      properties: {
        payloadFormatIndicator: true,
        messageExpiryInterval: 100,
        contentType: 'text/plain',
        responseTopic: 'node/v5/answer',
        correlationData: Buffer.from([0, 255]),
        userProperties: { a: ['1', '3'], b: '2' },
      },
    })
    const { properties } = await subscriber.receive()
    assert.equal(properties.payloadFormatIndicator, true)
    assert.ok(properties.messageExpiryInterval <= 100)
    assert.equal(properties.contentType, 'text/plain')
    assert.equal(properties.responseTopic, 'node/v5/answer')
    assert.deepEqual([...properties.correlationData], [0, 255])
    assert.deepEqual({ ...properties.userProperties }, { a: ['1', '3'], b: '2' })
    assert.equal(properties.subscriptionIdentifier, 268435455)
    await endAll(publisher, subscriber)
  }

  async function v5TopicAliases() {
    const publisher = await connect('5.0', { autoAssignTopicAlias: true })
    const subscriber = await connect('5.0', { properties: { topicAliasMaximum: 5 } })
    assert.ok(publisher.connack.properties.topicAliasMaximum > 0)
    await subscriber.subscribe('node/v5/alias/#', 1)
    for (let index = 0; index < 30; index++) await publisher.publish(`node/v5/alias/${index % 3}`, `${index}`, 1)
    for (let index = 0; index < 30; index++) {
      const message = await subscriber.receive()
      assert.deepEqual([message.topic, message.text], [`node/v5/alias/${index % 3}`, `${index}`])
    }
    await endAll(publisher, subscriber)
  }

  async function v5ReceiveMaximum() {
    const publisher = await connect('5.0')
    const subscriber = await connect('5.0', { properties: { receiveMaximum: 2 } })
    await subscriber.subscribe('node/v5/receive-maximum', 2)
    for (let index = 0; index < 50; index++) await publisher.publish('node/v5/receive-maximum', `${index}`, 2)
    for (let index = 0; index < 50; index++) assert.equal((await subscriber.receive()).text, `${index}`)
    await endAll(publisher, subscriber)
  }

  async function v5MaximumPacketSize() {
    const publisher = await connect('5.0')
    const subscriber = await connect('5.0', { properties: { maximumPacketSize: 1000 } })
    await subscriber.subscribe('node/v5/maximum-packet-size', 1)
    await publisher.publish('node/v5/maximum-packet-size', 'x'.repeat(2000), 1)
    await publisher.publish('node/v5/maximum-packet-size', 'small', 1)
    assert.equal((await subscriber.receive()).text, 'small')
    await endAll(publisher, subscriber)
  }

  async function v5AssignedClientId() {
    const peer = await connect('5.0', { clientId: '', clean: true })
    assert.ok(peer.connack.properties.assignedClientIdentifier.length > 0)
    await peer.end()
  }

  for (const version of Object.keys(VERSIONS)) {
    for (const publishQos of [0, 1, 2]) {
      for (const subscribeQos of [0, 1, 2]) {
        const name = `${version} publish QoS ${publishQos}, subscribe QoS ${subscribeQos}`
        yield [name, () => delivery(version, publishQos, subscribeQos)]
      }
    }
    for (const qos of [0, 1, 2]) {
      yield [`${version} burst QoS ${qos}`, () => burst(version, qos)]
      yield [`${version} retained QoS ${qos}`, () => retained(version, qos)]
      yield [`${version} will QoS ${qos}`, () => will(version, qos)]
    }
    for (const qos of [1, 2]) yield [`${version} resume QoS ${qos}`, () => resume(version, qos)]
    for (const check of [wildcards, large, shared]) yield [`${version} ${check.name}`, () => check(version)]
  }
  for (const check of [v5Properties, v5TopicAliases, v5ReceiveMaximum, v5MaximumPacketSize, v5AssignedClientId]) {
    yield [check.name, check]
  }
}

/** Starts the built broker on a free port. */
async function start(program) {
  const below = process.env.OPIFEX_DATA
  const storage = below ? ['--data-dir', await mkdtemp(join(below, 'node-'))] : ['--storage', 'memory']
  const listeners = ['--listen', '127.0.0.1:0', '--websocket', '127.0.0.1:0']
  const child = spawn(program, ['serve', ...listeners, '--log', 'warn', ...storage], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const listens = async () => (await withPatience(lines.next(), 'the broker to listen')).value.replace('listening on ', '')
  const [tcp, websocket] = [await listens(), await listens()]
  const stop = async () => {
    const exited = once(child, 'exit')
    process.kill(child.pid, 'SIGTERM')
    const [exitCode] = await withPatience(exited, 'the end of the broker')
    assert.equal(exitCode, 0, 'the exit code of the broker')
  }
  return { url: process.env.OPIFEX_TRANSPORT === 'websockets' ? `${websocket}/mqtt` : `mqtt://${tcp}`, stop }
}

async function main() {
  const [kind, value, , only = ''] = process.argv.slice(2)
  assert.ok(kind === '--program' || kind === '--address', 'expected --program PATH or --address HOST:PORT')
  const broker = kind === '--program' ? await start(value) : { url: `mqtt://${value}`, stop: async () => {} }
  let [ran, failed] = [0, 0]
  for (const [name, check] of checks(broker.url)) {
    if (!name.includes(only)) continue
    ran++
    const begun = performance.now()
    try {
      await check()
      console.log(`ok    mqtt.js: ${name} (${((performance.now() - begun) / 1000).toFixed(2)} s)`)
    } catch (error) {
      failed++
      console.log(`FAIL  mqtt.js: ${name}\n${error.stack}`)
    }
  }
  await broker.stop()
  console.log(`mqtt.js: ${ran - failed} of ${ran} checks passed`)
  // Connections of failed checks are still open.
  process.exit(failed > 0 || ran === 0 ? 1 : 0)
}

await main()
