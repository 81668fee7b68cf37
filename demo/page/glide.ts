import { useLayoutEffect, useRef } from 'preact/hooks'
import type { RefObject } from 'preact'

/** Lets the children of an element glide to their new places, so that the eye can follow. */
export function useGlide (list: RefObject<HTMLElement>): void {
  const places = useRef(new WeakMap<Element, { left: number, top: number }>())
  const width = useRef(0)

  useLayoutEffect(() => {
    const { children, offsetWidth } = list.current!
    const isStill = width.current !== offsetWidth || matchMedia('(prefers-reduced-motion: reduce)').matches
    width.current = offsetWidth
    for (const child of children as HTMLCollectionOf<HTMLElement>) {
      const { offsetLeft: left, offsetTop: top } = child
      const before = places.current.get(child)
      places.current.set(child, { left, top })
      if (isStill || before === undefined || (before.left === left && before.top === top)) continue
      child.animate(
        [{ transform: `translate(${before.left - left}px, ${before.top - top}px)` }, { transform: 'none' }],
        { duration: 650, easing: 'cubic-bezier(.3, .7, .2, 1)' }
      )
    }
  })
}
