"""The whole conversion: every arrow of the chain, its verdict, and one bundle with all of it."""
