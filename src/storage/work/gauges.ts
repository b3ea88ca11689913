/** Work in the background and room on the disks, as monitoring reads it. */
import { freeBytes } from '../../core/disk-space.ts'
import type { KeptFolder } from '../../core/disk-space.ts'
import type { Gauge, GaugeInfo } from '../../core/gauges.ts'
import type { WorkQueue } from './work-queue.ts'

export const WORK_METRICS = {
  slipway_work_items: { help: 'Work in the background, by kind and state.', labels: ['kind', 'state'] },
  slipway_work_late_seconds: { help: 'For how long what is due waits, the oldest of each kind.', labels: ['kind'] },
  slipway_disk_free_bytes: { help: 'Room that is left for what is kept on this machine: the database, the objects.', labels: ['what'] },
} as const satisfies Record<string, GaugeInfo>

export async function workGauges(work: WorkQueue, keptFolders: readonly KeptFolder[]): Promise<Gauge[]> {
  const [counts, lateMs] = await Promise.all([work.counts(), work.lateMs()])
  const free = await Promise.all(keptFolders.map(async ({ what, folder }) => ({ labels: { what }, value: await freeBytes(folder) })))
  const samples: Record<keyof typeof WORK_METRICS, Gauge['samples']> = {
    slipway_work_items: counts.map(({ kind, state, count }) => ({ labels: { kind, state }, value: count })),
    slipway_work_late_seconds: lateMs.map(({ kind, ms }) => ({ labels: { kind }, value: ms / 1000 })),
    slipway_disk_free_bytes: free.filter(({ value }) => Number.isFinite(value)),
  }
  return Object.entries(WORK_METRICS).map(([name, info]) => ({ name, ...info, samples: samples[name as keyof typeof samples] }))
}
