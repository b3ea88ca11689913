import { logout } from './login.ts'
import { asksRegistry } from '../control-plane/registry-command.ts'
import type { Command } from 'commander'

export function define(command: Command): void {
  asksRegistry(command).action(logout)
}
