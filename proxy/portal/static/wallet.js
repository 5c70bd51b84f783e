// Asks the wallet of this browser (EIP-1193) for what the form below it would take by hand, and sends that form.
"use strict";

const panel = document.getElementById("wallet");
const form = document.getElementById("by-hand");
const button = panel.querySelector("button");
const note = panel.querySelector("[role=status]");

async function signature(wallet) {
  const message = form.elements.message.value;
  const bytes = Array.from(new TextEncoder().encode(message), (byte) => byte.toString(16).padStart(2, "0"));
  return wallet.request({ method: "personal_sign", params: ["0x" + bytes.join(""), message.split("\n")[1]] });
}

async function address(wallet) {
  const accounts = await wallet.request({ method: "eth_requestAccounts" });
  return accounts[0];
}

function offer() {
  panel.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    note.textContent = "";
    try {
      if (form.elements.signature) form.elements.signature.value = await signature(window.ethereum);
      else form.elements.address.value = await address(window.ethereum);
      form.requestSubmit();
    } catch (error) {
      note.textContent = "The wallet refused: " + (error.message || "it gave no reason");
    }
    button.disabled = false;
  });
}

if (window.ethereum) offer();
else window.addEventListener("ethereum#initialized", offer, { once: true });
