import { basename, extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const TYPES: Record<string, string> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.woff2': 'font/woff2',
}

export interface Asset {
  type: string
  content: Uint8Array
}

/** The page's script, style sheet and fonts by name, with everything they import, to be served below `directory`. */
export async function bundlePage (directory: string): Promise<Map<string, Asset>> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('page/page.tsx', import.meta.url))],
    outdir: 'out',
    publicPath: directory,
    assetNames: '[name]',
    loader: { '.woff2': 'file' },
    write: false,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    define: { 'process.env.NODE_ENV': '"production"' },
  })
  return new Map(outputFiles.map(({ path, contents }) => [basename(path), { type: TYPES[extname(path)]!, content: contents }]))
}
