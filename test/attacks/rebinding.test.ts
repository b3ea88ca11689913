import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { ROOT } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** Gives the network of the process its loopback, and an address that counts as outside (netdevice(7): SIOCSIFADDR, SIOCSIFFLAGS). */
const NETWORK = `
import fcntl, socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def up(name): fcntl.ioctl(s, 0x8914, struct.pack('16sH14x', name, 1))
up(b'lo')
fcntl.ioctl(s, 0x8916, struct.pack('16sH2s4s8x', b'lo:1', socket.AF_INET, b'', socket.inet_aton('1.2.3.4')))
up(b'lo:1')
`
const ALONE = 'python3 -c "$NETWORK" && mount --bind "$RESOLV" /etc/resolv.conf && exec "$0" "$@"'

interface Told {
  readonly outside: number
  readonly errors: readonly string[]
}

it('a webhook whose name turns into an address of this machine asks nothing of it, whenever it turns', { timeout: 120_000 }, async () => {
  await using folder = await temporaryFolder()
  const resolv = await folder.write('resolv.conf', 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n')
  const program = [process.execPath, join(ROOT, 'test/attacks/rebinding-in-namespace.ts')]
  const { stdout } = await promisify(execFile)('unshare', ['--map-root-user', '--net', '--mount', 'sh', '-c', ALONE, ...program], {
    env: { ...process.env, NETWORK, RESOLV: resolv, NODE_TEST_CONTEXT: undefined },
    timeout: 110_000,
  })
  const { inside, told } = JSON.parse(stdout.trim().split('\n').at(-1)!) as { inside: number; told: Record<string, Told> }
  assert.equal(inside, 0, JSON.stringify(told))
  // The network is what it seems to be: deliveries reach what is outside.
  assert.ok(told['honest.test']!.outside >= 6, JSON.stringify(told))
  assert.deepEqual(told['honest.test']!.errors, [])
  for (const name of ['switching.test', 'later.test']) assert.ok(told[name]!.outside > 0, `${name}: ${JSON.stringify(told[name])}`)
  for (const name of ['switching.test', 'later.test', 'both.test', 'both-turned.test'])
    assert.ok(
      told[name]!.errors.some((error) => error.includes('is an address of this machine or its network')),
      `${name}: ${JSON.stringify(told[name])}`,
    )
  for (const name of ['both.test', 'both-turned.test', 'mapped.test']) assert.equal(told[name]!.outside, 0, name)
})
