/** Loaded into a server under test (`node --import`): on SIGUSR2 it writes its live memory into the file MEMORY_FILE. */
import { renameSync, writeFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { liveMemory } from './live-memory.ts'

const file = process.env['MEMORY_FILE']
if (file !== undefined && isMainThread)
  process.on('SIGUSR2', () => {
    writeFileSync(`${file}.next`, JSON.stringify(liveMemory()))
    renameSync(`${file}.next`, file)
  })
