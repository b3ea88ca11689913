import { defineCopy } from './copy.ts'
import { defineSign } from './sign.ts'
import { defineTags } from './tags.ts'
import { defineVerify } from './verify.ts'
import type { Command } from 'commander'

export function define(command: Command): void {
  defineCopy(command.command('copy').description('copy an image from one registry into another, with what hangs on it'))
  defineTags(command.command('tags').description('list the tags of a repository'))
  defineSign(command.command('sign').description('sign an image in its registry, so that cosign and slipway believe it'))
  defineVerify(command.command('verify').description('check that an image is signed by a key; exit 3 where it is not'))
}
