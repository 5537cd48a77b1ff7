for (const player of document.querySelectorAll(".realtime-steps:not(.ready)")) {
  const layers = player.querySelectorAll(".layer"), told = player.querySelectorAll("li");
  const slider = player.querySelector("input"), play = player.querySelector(".play"), list = player.querySelector("ol");
  let timer = 0;
  const show = (step) => {
    const now = Math.min(Math.max(step, 0), told.length - 1);
    for (const parts of [layers, told]) parts.forEach((part, i) => part.classList.toggle("now", i === now));
    slider.value = now;
    slider.setAttribute("aria-valuetext", player.querySelector("output").value = `${now + 1} of ${told.length}`);
    player.querySelector("svg").setAttribute("aria-label", told[now].dataset.alt);
    const stage = player.querySelector(".stage"), mark = layers[now].lastElementChild;
    if (mark) stage.scrollLeft += mark.getBoundingClientRect().x - stage.getBoundingClientRect().x - stage.clientWidth / 2;
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
    list.setAttribute("aria-live", "polite");
  };
  const go = (by) => { stop(); show(+slider.value + by); };
  player.querySelector(".back").addEventListener("click", () => go(-1));
  player.querySelector(".on").addEventListener("click", () => go(1));
  slider.addEventListener("input", () => go(0));
  play.addEventListener("click", () => {
    if (timer) return stop();
    const last = told.length - 1;
    if (+slider.value === last) show(0);
    play.textContent = "Pause";
    list.setAttribute("aria-live", "off");
    timer = setInterval(() => {
      if (!player.isConnected) return stop();
      show(+slider.value + 1);
      if (+slider.value === last) stop();
    }, 1000 * player.dataset.pace);
  });
  player.classList.add("ready");
  stop();
  show(0);
}
