// What a host does before it shows anything.

import { learn } from "../src/core/wording.js";
import words from "../src/generated/words.json";

learn(words);
