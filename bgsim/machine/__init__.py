"""The machine tier: hundreds of thousands of ranks with the costs that the detailed tier measured."""
