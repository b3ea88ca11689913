/**
 * Programs of Go that other people handle images with, for the tests: crane, of go-containerregistry, and its registry with the API of
 * referrers, which crane serves without; and cosign, of Sigstore. Made once (cosign: five minutes on two cores) and kept outside the tree.
 *
 *     scripts/node scripts/image-tools.ts
 */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { goProgram } from './go-program.ts'
import { cacheFolder, obtain, runTool } from './python-env.ts'

const CRANE_VERSION = '0.22.1'

/** @returns the path of the binary */
export async function crane(): Promise<string> {
  return await goProgram({
    name: 'crane',
    version: CRANE_VERSION,
    program: 'github.com/google/go-containerregistry/cmd/crane',
    what: 'crane',
  })
}

/** @returns the path of the binary */
export async function cosign(): Promise<string> {
  return await goProgram({ name: 'cosign', version: '2.6.5', program: 'github.com/sigstore/cosign/v2/cmd/cosign', what: 'cosign' })
}

const MODULE = `module slipway.test/registry

go 1.24.0

require github.com/google/go-containerregistry v${CRANE_VERSION}
`

const MAIN = `package main

import (
	"log"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	log.Fatal(http.ListenAndServe(os.Args[1], registry.New(registry.WithReferrersSupport(true))))
}
`

/** @returns the path of a registry that is told the address to listen at, and keeps all in memory */
export async function referrersRegistry(): Promise<string> {
  const digest = createHash('sha256').update(`${MODULE}${MAIN}`).digest('hex').slice(0, 12)
  return await obtain(join(cacheFolder(), `referrers-registry-${digest}`), 'registry', async (folder) => {
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'go.mod'), MODULE)
    await writeFile(join(folder, 'main.go'), MAIN)
    const go = (...args: readonly string[]): Promise<void> => runTool('env', ['-C', folder, 'CGO_ENABLED=0', 'go', ...args])
    await go('mod', 'tidy')
    await go('build', '-o', 'registry', '-ldflags', '-s -w', '.')
  })
}

/** @returns the path of the binary of dive, which measures what layers repeat */
export async function dive(): Promise<string> {
  return await goProgram({ name: 'dive', version: '0.13.1', program: 'github.com/wagoodman/dive', what: 'dive' })
}

if (import.meta.main) {
  try {
    console.log(await crane())
    console.log(await referrersRegistry())
    console.log(await cosign())
    console.log(await dive())
    console.log(await dive())
  } catch (error) {
    console.error(`image-tools: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
