import { SlipwayError } from '../../core/errors.ts'
import { slipwayVersion } from '../../core/version.ts'
import { cycloneDxOf } from '../../images/attest/sbom-cyclonedx.ts'
import { spdxOf } from '../../images/attest/sbom-spdx.ts'
import { packageReading, packagesOf } from '../../images/inspect/packages.ts'
import { readImage } from '../../images/inspect/read-image.ts'
import { print } from '../output.ts'
import { looksInto, openImage } from './open-image.ts'
import { sourceDate } from './source-date.ts'
import type { Command } from 'commander'
import type { Bill } from '../../images/attest/bill.ts'
import type { OpenOptions } from './open-image.ts'

const FORMATS: Readonly<Record<string, (bill: Bill) => object>> = { spdx: spdxOf, cyclonedx: cycloneDxOf }

interface SbomOptions extends OpenOptions {
  readonly format: string
}

export function defineSbom(command: Command): void {
  looksInto(command)
    .option('--format <name>', 'spdx (SPDX 2.3) or cyclonedx (CycloneDX 1.6), each as JSON', 'spdx')
    .addHelpText(
      'after',
      '\nLists packages of npm and of Debian, Node, and models, as they lie in the layers. The same image gives the same bytes; its time is\nthat of SOURCE_DATE_EPOCH, else of the image.',
    )
    .action(sbom)
}

async function sbom(name: string, options: SbomOptions): Promise<void> {
  const make = FORMATS[options.format]
  if (make === undefined) throw new SlipwayError('SLW_USAGE', `--format ${options.format}: expected ${Object.keys(FORMATS).join(' or ')}`)
  const at = sourceDate()
  await using open = await openImage(name, options)
  const { options: reading, nodeVersions } = packageReading()
  const packages = packagesOf(await readImage(open.source, open.image, reading), nodeVersions)
  print(JSON.stringify(make({ name: open.name, image: open.image, packages, tool: slipwayVersion(), at }), undefined, 2))
}
