import { defineInspect } from './inspect.ts'
import type { Command } from 'commander'

export function define(command: Command): void {
  defineInspect(
    command.command('inspect').description('size by layer and file, wasted bytes, configuration, and what differs from another image'),
  )
}
