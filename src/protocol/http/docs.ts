import { readFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { SlipwayError } from '../../core/errors.ts'
import { packageRoot } from '../../core/entry.ts'
import { openApi } from './openapi.ts'
import type { DataPlane } from '../../serving/data-plane.ts'
import type { Exchange } from './exchange.ts'
import type { Route } from './routes.ts'

const ASSETS: Readonly<Record<string, string>> = { 'swagger-ui.css': 'text/css', 'swagger-ui-bundle.js': 'text/javascript' }

/** Browsers guess no type of a file, and send no referrer with a link. The policy of `/docs` rules out frames. */
const PAGE_HEADERS = { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' }

/** Swagger UI, served from this package: the page asks no other host for anything. */
export function docsRoutes(dataPlane: DataPlane): Route[] {
  return [
    {
      method: 'GET',
      path: '/openapi.json',
      access: 'predict',
      handle: (exchange) => exchange.json(200, JSON.stringify(openApi(dataPlane, addressOf(exchange), exchange.caller)), PAGE_HEADERS),
    },
    {
      method: 'GET',
      path: '/docs',
      access: 'predict',
      handle: (exchange) =>
        exchange.send(200, 'text/html; charset=utf-8', PAGE, {
          ...PAGE_HEADERS,
          'content-security-policy':
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; script-src 'self'; frame-ancestors 'none'",
        }),
    },
    {
      method: 'GET',
      path: '/docs/start.js',
      access: 'predict',
      handle: (exchange) => exchange.send(200, 'text/javascript', START, PAGE_HEADERS),
    },
    { method: 'GET', path: '/docs/:asset', access: 'predict', handle: (exchange, params) => sendAsset(exchange, params['asset'] ?? '') },
  ]
}

/** The address that the client used, so that the examples work for it. */
function addressOf(exchange: Exchange): string {
  const host = exchange.header('host') ?? 'localhost'
  return /^[\w.:[\]-]+$/.test(host) ? `${exchange.secure ? 'https' : 'http'}://${host}` : '/'
}

async function sendAsset(exchange: Exchange, name: string): Promise<void> {
  const type = Object.hasOwn(ASSETS, name) ? ASSETS[name] : undefined
  if (type === undefined) throw new SlipwayError('SLW_ROUTE_NOT_FOUND', `no route GET /docs/${name}`)
  exchange.send(200, type, await readFile(join(assetFolder(), name)), { ...PAGE_HEADERS, 'cache-control': 'max-age=3600' })
}

/** In the published package the files lie in dist; in the repository the development dependency has them. */
function assetFolder(): string {
  const published = join(packageRoot(), 'dist', 'assets', 'swagger-ui')
  return existsSync(published) ? published : dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))
}

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>Slipway</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<style>body { margin: 0 } .topbar { display: none }</style>
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

const START = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#docs', deepLinking: true, tryItOutEnabled: true, requestSnippetsEnabled: true, validatorUrl: null })
`
