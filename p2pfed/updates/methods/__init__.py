"""The update methods, one file each: what trains, and what of it travels."""

from p2pfed.updates.methods.adapter_set import AdapterSetMethod as AdapterSetMethod
from p2pfed.updates.methods.bottleneck import Bottleneck as Bottleneck
from p2pfed.updates.methods.fed_sb import FedSb as FedSb
from p2pfed.updates.methods.ffa_lora import FfaLora as FfaLora
from p2pfed.updates.methods.full import Full as Full
from p2pfed.updates.methods.head import Head as Head
from p2pfed.updates.methods.ledger_method import LedgerMethod as LedgerMethod
from p2pfed.updates.methods.lora import Lora as Lora
from p2pfed.updates.methods.lora_fair import LoraFair as LoraFair
from p2pfed.updates.methods.lora_ranks import LoraRanks as LoraRanks
from p2pfed.updates.methods.peft_adapter import Peft as Peft
from p2pfed.updates.methods.projected import Projected as Projected
from p2pfed.updates.methods.ranks import Ranks as Ranks
from p2pfed.updates.methods.seeds import Seeds as Seeds
from p2pfed.updates.methods.sparse_sum import SparseSumMethod as SparseSumMethod
from p2pfed.updates.methods.update_ranks import UpdateRanks as UpdateRanks
