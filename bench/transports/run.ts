/**
 * What a small call costs on each transport that gRPC could stand on, with a handler that does nothing (docs/decisions/0028):
 *
 *     sh scripts/node bench/transports/run.ts --rounds 3 --seconds 2
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { debianBinary } from '../../scripts/debian-package.ts'
import { run } from '../children.ts'
import { CpuWatch, processTree } from '../machine.ts'
import { markdownTable, median } from '../table.ts'
import { temporaryFolder } from '../temporary.ts'
import { METHOD } from './servers.ts'
import type { ChildProcess } from 'node:child_process'

const NAMES = ['grpc-js', 'http2', 'http1', 'own'] as const
const WHAT: Readonly<Record<(typeof NAMES)[number], string>> = {
  'grpc-js': '@grpc/grpc-js with raw buffers',
  http2: 'node:http2, its stream API',
  http1: 'node:http (HTTP/1.1), for comparison',
  own: 'ours, on node:net',
}
const CONNECTIONS = 32
const MESSAGE_BYTES = 160

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '2' } } })
const scratch = temporaryFolder('slipway-bench-transports')
const children: ChildProcess[] = []
try {
  await debianBinary('h2load', 'nghttp2-client')
  const file = join(scratch, 'message')
  const message = Buffer.alloc(5 + MESSAGE_BYTES, 1)
  message[0] = 0
  message.writeUInt32BE(MESSAGE_BYTES, 1)
  await writeFile(file, message)
  const servers = []
  for (const name of NAMES) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'servers.ts'), name], { stdio: ['ignore', 'pipe', 'inherit'] })
    children.push(child)
    const [port] = (await once(createInterface(child.stdout), 'line')) as [string]
    servers.push({ name, port, pid: child.pid!, perSecond: [] as number[], cpuUs: [] as number[] })
  }
  for (let round = -1; round < Number(values.rounds); round++)
    for (const { name, port, pid, perSecond, cpuUs } of servers) {
      const watch = new CpuWatch(processTree(pid))
      const how = name === 'http1' ? ['--h1'] : ['-m', '1', '-H', 'content-type: application/grpc', '-H', 'te: trailers']
      const load = ['-t', '1', '-c', String(CONNECTIONS), '-D', values.seconds, '-d', file]
      const printed = await run('h2load', [...load, ...how, `http://127.0.0.1:${port}${METHOD}`])
      const { serverMs } = watch.stop()
      const [, rate] = /finished in .*?, ([\d.]+) req\/s/.exec(printed) ?? []
      const [, succeeded] = /(\d+) succeeded/.exec(printed) ?? []
      if (rate === undefined || succeeded === undefined) throw new Error(`h2load said nothing that can be read:\n${printed}`)
      // The first round warms up.
      if (round < 0) continue
      perSecond.push(Number(rate))
      cpuUs.push((serverMs * 1000) / Number(succeeded))
    }
  const rows = servers.map(({ name, perSecond, cpuUs }) => [WHAT[name], `${median(cpuUs).toFixed(0)} us`, median(perSecond).toFixed(0)])
  console.log(markdownTable(['server', 'CPU a call', 'calls a second'], rows))
} finally {
  for (const child of children) child.kill()
  await rm(scratch, { recursive: true, force: true })
}
