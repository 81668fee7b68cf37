import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'
import type { Browser } from 'playwright-core'

const PATH = [process.env['CHROMIUM_PATH'] ?? '', '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)

/** Why there is nothing to launch here; false where there is. */
export const NO_BROWSER = PATH === undefined ? 'no Chromium here; CHROMIUM_PATH names one' : false

export async function launchBrowser (): Promise<Browser> {
  return await chromium.launch({ executablePath: PATH!, args: ['--no-sandbox'] })
}
