import { defineCopy } from './copy.ts'
import { defineInspect } from './inspect.ts'
import { defineModel } from './model.ts'
import { definePull } from './pull.ts'
import { definePush } from './push.ts'
import { defineSbom } from './sbom.ts'
import { defineScan } from './scan.ts'
import { defineSign } from './sign.ts'
import { defineTags } from './tags.ts'
import { defineVerify } from './verify.ts'
import type { Command } from 'commander'

export function define(command: Command): void {
  definePush(command.command('push').description('send an image that lies here to a registry, with what hangs on it'))
  definePull(command.command('pull').description('fetch an image from a registry into a folder or a tar archive'))
  defineInspect(
    command.command('inspect').description('size by layer and file, wasted bytes, configuration, and what differs from another image'),
  )
  defineScan(command.command('scan').description('known vulnerabilities of what is in an image; exit 3 where they are severe'))
  defineSbom(command.command('sbom').description('a bill of materials of an image: SPDX or CycloneDX'))
  defineCopy(command.command('copy').description('copy an image from one registry into another, with what hangs on it'))
  defineModel(
    command.command('model').description('send a model alone, as a ModelPack artifact or as an image that is mounted as a volume'),
  )
  defineTags(command.command('tags').description('list the tags of a repository'))
  defineSign(command.command('sign').description('sign an image in its registry, so that cosign and slipway believe it'))
  defineVerify(command.command('verify').description('check that an image is signed by a key; exit 3 where it is not'))
}
