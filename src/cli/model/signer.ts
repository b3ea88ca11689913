import { readFile } from 'node:fs/promises'
import { asksRegistry, change, clientOf, part, show, showList } from '../control-plane/registry-command.ts'
import { signerView } from './views.ts'
import type { Command } from 'commander'
import type { SignerAnswer } from '../../contract/registry-api.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

export function define(command: Command): void {
  asksRegistry(command.command('list').description('whose signatures are believed')).action(async (options: RegistryOptions) => {
    const { items } = await (await clientOf(options)).all<SignerAnswer>('/signers')
    showList(items, signerView, options)
  })
  asksRegistry(
    command
      .command('add')
      .description('believe the signatures of a key, or of the certificates of an authority')
      .argument('<name>')
      .argument('<file>', 'public key or certificate, PEM'),
    { changes: true },
  ).action(async (name: string, file: string, options: RegistryOptions) => {
    const body = { name, pem: await readFile(file, 'utf8') }
    const signer = await change<SignerAnswer>(options, await clientOf(options), { method: 'POST', path: '/signers', body })
    if (signer !== undefined) show(signer, signerView, options)
  })
  asksRegistry(command.command('remove').description('believe them no more').argument('<name>'), { changes: true }).action(
    async (name: string, options: RegistryOptions) => {
      await change(options, await clientOf(options), { method: 'DELETE', path: `/signers/${part(name)}` })
    },
  )
}
