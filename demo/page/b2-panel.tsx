import { useEffect, useState } from 'preact/hooks'
import type { B2Mood, LiveState } from '../live-state.ts'
import { turnB2 } from './live.ts'
import { MOODS } from './moods.ts'
import { Plug } from './plug.tsx'

const CIRCUIT = {
  closed: ['closed', 'Uploads try B2.'],
  half_open: ['half-open', 'One file is trying B2.'],
  open: ['open', 'Uploads go to local storage at once. B2 is tried again soon.'],
  disabled: ['disabled', 'There is no B2.'],
} as const

/** How B2 is, the switch that breaks it, and what the service makes of it. */
export function B2Panel ({ live }: { live: LiveState }) {
  const { headline, meaning } = MOODS[live.b2]
  const [circuit, consequence] = CIRCUIT[live.circuit]
  const isDown = live.b2 === 'down'
  // What was just chosen, until the demo says so, too: other news comes in between.
  const [wanted, setWanted] = useState<B2Mood>()
  useEffect(() => setWanted(undefined), [live.b2])
  const turn = (mood: B2Mood): void => {
    setWanted(mood)
    turnB2(mood).catch(() => setWanted(undefined))
  }
  return (
    <section class='panel' data-mood={live.b2} aria-label='B2'>
      <div class='hero'>
        <h1>{headline}</h1>
        <p class='meaning'>{meaning}</p>
        <fieldset class='switch'>
          <legend>Make B2</legend>
          {Object.entries(MOODS).map(([mood, { label }]) => (
            <label key={mood}>
              <input type='radio' name='mood' value={mood} checked={mood === (wanted ?? live.b2)} onChange={() => turn(mood as B2Mood)} />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
      </div>
      <button class='pull' type='button' onClick={() => turn(isDown ? 'healthy' : 'down')}>
        <Plug isDown={isDown} isFlowing={live.receiving} />
        <span>{isDown ? 'Plug B2 in again' : 'Pull B2’s plug'}</span>
      </button>
      <dl class='facts'>
        <div data-circuit={live.circuit}>
          <dt>Circuit</dt>
          <dd><strong>{circuit}</strong> {consequence}</dd>
        </div>
        <div>
          <dt>Waiting to move to B2</dt>
          <dd><strong>{live.pending_promotions}</strong> {live.pending_promotions === 1 ? 'file' : 'files'}</dd>
        </div>
        <div>
          <dt>Last error of B2</dt>
          <dd>{live.last_error === null ? 'none since it last worked' : <><code>{live.last_error.error_code}</code> {live.last_error.detail}</>}</dd>
        </div>
      </dl>
    </section>
  )
}
