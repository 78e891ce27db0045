// The recording: the caller on one channel, the assistant on the other, in step with transcript and time line.

import { h, fill } from "./dom.js";
import { t } from "./words.js";
import { place, word } from "./format.js";
import { button, select } from "./parts.js";
import { path, part } from "./api.js";
import { may } from "./session.js";

const RATES = ["0.75", "1", "1.25", "1.5", "2"];

/** A player. `onTime(seconds)` is told where on the call's time line it stands; without a recording it is told of
 *  every seek all the same, so that transcript and time line stay together. */
export function player({ onTime }) {
  const node = h("div", { class: "player", role: "group", "aria-label": t("player") });
  let audio = null;
  let offset = 0;
  let at = 0;
  let end = 0;
  let parts = null;
  let moving = null;

  function show(detail, length) {
    end = length;
    const recording = detail.recordings?.find((each) => each.state === "kept");
    if (!recording || !may("listener")) return without(detail);
    if (parts?.id === recording.id) return undefined;
    offset = (recording.offset_ms ?? 0) / 1000;
    audio = h("audio", { preload: "metadata", src: path(`/calls/${part(detail.call.id)}/recording`, { recording: recording.id }) });
    const play = button("", toggle, { class: "play", "aria-label": t("player.play") });
    const now = h("span", { class: "num" }, place(0));
    const slider = h("input", {
      type: "range", min: "0", max: String(Math.ceil(recording.duration_s ?? length)), step: "0.1", value: "0",
      "aria-label": t("player.place"), oninput: (event) => seek(Number(event.target.value) + offset),
    });
    const problem = h("p", { class: "faint", hidden: true }, t("player.broken"));
    const rate = select(RATES.map((each) => [each, `${each}×`]), "1", { "aria-label": t("player.rate"), onchange: (event) => { audio.playbackRate = Number(event.target.value); } });
    const hear = recording.channels === 2 && select(
      ["both", "caller", "assistant"].map((each) => [each, t(`player.${each}`)]), "both",
      { "aria-label": t("player.channel"), onchange: (event) => only(event.target.value) });
    audio.addEventListener("loadedmetadata", () => { if (Number.isFinite(audio.duration)) slider.max = String(audio.duration); place_(); });
    audio.addEventListener("timeupdate", () => place_());
    audio.addEventListener("play", () => { changed(true); frame(); });
    audio.addEventListener("pause", () => changed(false));
    audio.addEventListener("error", () => { problem.hidden = false; });
    const changed = (isPlaying) => {
      play.classList.toggle("playing", isPlaying);
      play.setAttribute("aria-label", t(isPlaying ? "player.pause" : "player.play"));
    };
    parts = { id: recording.id, now, slider };
    fill(node, play, now, slider, h("span", { class: "num faint" }, place(recording.duration_s ?? length)), rate, hear,
      h("a", { class: "button quiet", href: audio.getAttribute("src"), download: `${detail.call.id}.wav` }, "WAV"), problem);
    if (at) seek(at);
    return undefined;
  }

  function without(detail) {
    const known = detail.recordings?.[0];
    const why = known?.state === "kept" ? t("player.role")
      : known ? t("player.state", { state: word("recording", known.state) }) + (known.problem ? `: ${known.problem}` : "")
      : detail.call.ended ? t("player.none") : t("player.live");
    fill(node, h("p", { class: "faint" }, why));
  }

  function place_() {
    at = audio.currentTime + offset;
    parts.now.textContent = place(at);
    if (document.activeElement !== parts.slider || !audio.paused) parts.slider.value = String(audio.currentTime);
    parts.slider.setAttribute("aria-valuetext", place(at));
    onTime(at, !audio.paused);
  }

  // `timeupdate` comes four times a second, which is too rare for a line that moves.
  function frame() {
    cancelAnimationFrame(moving);
    if (!audio || audio.paused || !node.isConnected) return;
    place_();
    moving = requestAnimationFrame(frame);
  }

  /** Goes to a place on the call's time line, in seconds. */
  function seek(seconds) {
    at = Math.max(0, Math.min(seconds, end || seconds));
    if (!audio) return onTime(at, true);
    const wanted = Math.max(0, at - offset);
    if (audio.readyState === 0) audio.addEventListener("loadedmetadata", () => { audio.currentTime = wanted; }, { once: true });
    else audio.currentTime = wanted;
    parts.now.textContent = place(at);
    return onTime(at, true);
  }

  function toggle() {
    if (!audio) return false;
    if (audio.paused) audio.play().catch(() => {}); else audio.pause();
    return true;
  }

  let mixer = null;
  /** Lets one side be heard, on both ears; or both as they are. */
  function only(side) {
    mixer ??= wire();
    for (const name of ["caller", "assistant"]) mixer[name].gain.value = side === "both" || side === name ? 1 : 0;
  }

  function wire() {
    const context = new AudioContext();
    const split = context.createChannelSplitter(2);
    context.createMediaElementSource(audio).connect(split);
    const gains = {};
    ["caller", "assistant"].forEach((name, channel) => {
      gains[name] = context.createGain();
      split.connect(gains[name], channel);
      gains[name].connect(context.destination);
    });
    context.resume();
    return gains;
  }

  return { node, show, seek, toggle, at: () => at, end: () => { audio?.pause(); cancelAnimationFrame(moving); } };
}
