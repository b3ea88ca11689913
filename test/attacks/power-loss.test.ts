/** Power is lost: what was written and not brought to the disk is gone. In `npm run soak:attacks` alone, as it needs root and a loop device. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { post } from '../fixtures.ts'
import { upInChild } from '../control-plane/up-in-child.ts'
import { newMigratedPostgres } from '../storage/databases.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { LONG, seeded } from './long.ts'
import { pushAll, requireKept } from './pushes.ts'
import type { Acknowledged } from './pushes.ts'

const run = promisify(execFile)

/**
 * Ends a mounted ext4 at once, and flushes nothing, its journal neither: EXT4_IOC_SHUTDOWN, with EXT4_GOING_FLAGS_NOLOGFLUSH
 * (include/uapi/linux/ext4.h). What had not reached the device is gone, as after a power failure.
 */
const SHUT_DOWN = 'use Fcntl; sysopen(my $at, $ARGV[0], O_RDONLY) or die $!; my $how = pack("I", 2); ioctl($at, 0x8004587d, $how) or die $!'

interface Disk extends AsyncDisposable {
  readonly path: string
  losePower(): Promise<void>
  /** Mounts it again: the file system puts itself in order by its journal. */
  mount(): Promise<void>
}

/** An ext4 of its own, in a file. */
async function newDisk(folder: string): Promise<Disk> {
  const [image, path] = [join(folder, 'disk'), join(folder, 'mounted')]
  await mkdir(path)
  await run('truncate', ['-s', '1G', image])
  await run('mkfs.ext4', ['-q', '-F', image])
  const mount = async (): Promise<void> => void (await run('mount', ['-o', 'loop', image, path]))
  await mount()
  return {
    path,
    mount,
    losePower: async () => void (await run('perl', ['-e', SHUT_DOWN, path])),
    [Symbol.asyncDispose]: async () => void (await run('umount', [path]).catch(() => {})),
  }
}

if (LONG)
  describe('a control plane whose machine loses power', () => {
    it('is a thing that this machine can play: what was not synced is gone, what was is there', async () => {
      await using folder = await temporaryFolder()
      await using disk = await newDisk(folder.path)
      await run('sh', ['-c', 'echo kept > kept; sync kept .; echo lost > lost'], { cwd: disk.path })
      await disk.losePower()
      await run('umount', [disk.path])
      await disk.mount()
      assert.deepEqual(
        (await run('ls', [disk.path])).stdout.split('\n').filter((name) => name !== 'lost+found' && name !== ''),
        ['kept'],
      )
    })

    for (const name of ['SQLite', 'PostgreSQL elsewhere'])
      it(`has everything that it acknowledged (${name})`, async () => {
        const random = seeded('power loss')
        await using folder = await temporaryFolder()
        await using disk = await newDisk(folder.path)
        const place = name === 'SQLite' ? [] : ['--db', await newMigratedPostgres()]
        const args = ['--data', join(disk.path, 'data'), '--no-server', ...place]
        const acknowledged: Acknowledged[] = []
        for (let round = 0; round < 10; round++) {
          let over = false
          {
            await using plane = await upInChild(args)
            await requireKept(plane.url, acknowledged)
            if (round === 0)
              for (const model of ['a', 'b']) assert.equal((await post(`${plane.url}/api/v1/models`, { name: model })).status, 201)
            const pushing = ['a', 'b'].map((model) => pushAll(plane.url, model, acknowledged, () => over))
            await sleep(1000 + random.below(3000))
            // Nothing new is begun; what is under way may still be acknowledged before it happens.
            over = true
            await disk.losePower()
            plane.signal('SIGKILL')
            await Promise.all(pushing)
          }
          await run('umount', [disk.path])
          await disk.mount()
        }
        await using plane = await upInChild(args)
        await requireKept(plane.url, acknowledged)
        console.log(`${acknowledged.length} versions acknowledged, ten times without power`)
        assert.ok(acknowledged.length > 50)
      })
  })
