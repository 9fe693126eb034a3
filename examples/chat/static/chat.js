// The page of a room: shows what the room's WebSocket brings, says what is typed.

const talk = document.getElementById("talk");
const messages = document.getElementById("messages");
const state = document.getElementById("state");
const form = document.getElementById("say");
const text = document.getElementById("text");
const button = form.querySelector("button");

const me = talk.dataset.name;
const shown = new Set();
let socket = null;
let pause = 500;

function connect() {
  socket = new WebSocket(talk.dataset.url);
  socket.onopen = () => {
    pause = 500;
    show("open", "by the fire");
  };
  socket.onmessage = ({ data }) => add(JSON.parse(data));
  socket.onclose = () => {
    show("lost", "reconnecting");
    // Longer from time to time, and not all visitors at the same moment.
    setTimeout(connect, pause * (0.75 + Math.random() / 2));
    pause = Math.min(pause * 2, 15000);
  };
}

function show(name, words) {
  state.className = `state ${name}`;
  state.textContent = words;
  button.disabled = name !== "open";
}

function add(message) {
  // After a break, the room begins with what was said last, some of which is here already.
  if (shown.has(message.id)) return;
  shown.add(message.id);
  const atEnd = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 80;
  messages.append(message.kind === "said" ? words(message) : move(message));
  if (atEnd || message.name === me) talk.scrollTop = talk.scrollHeight;
}

function words({ name, text, at }) {
  const item = element("li", name === me ? "mine" : "");
  item.dataset.name = name;
  item.style.setProperty("--hue", hue(name));
  const before = messages.lastElementChild;
  if (before && before.dataset.name === name) item.classList.add("more");
  const who = element("p", "who");
  const time = element("time", "", clock(at));
  time.dateTime = at;
  who.append(element("b", "", name), time);
  item.append(element("span", "face", [...name][0]), who, element("p", "what", text));
  return item;
}

function move({ kind, name }) {
  return element("li", "move", kind === "came" ? `${name} sat down` : `${name} went out into the night`);
}

function element(tag, className, content = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = content;
  return made;
}

function clock(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function hue(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const said = text.value.trim();
  if (!said || socket.readyState !== WebSocket.OPEN) return;
  socket.send(said);
  text.value = "";
  text.focus();
});

text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});

button.disabled = true;
connect();
